"""The prompt editor: a text area whose first and last lines lead into the history."""

from __future__ import annotations

from typing import Any, ClassVar

from textual.binding import BindingType
from textual.content import Content
from textual.message import Message
from textual.widgets import TextArea

from tui.bindings import bindings
from tui.keymap import PROMPT_KEYS
from tui.prompt_history import PromptHistory
from tui.widgets.pane import Pane

PLACEHOLDER = "What should the picture show? For example: a fluffy orange tabby cat sitting on a windowsill at sunset"


class PromptEditor(TextArea):
    BINDINGS: ClassVar[list[BindingType]] = bindings(PROMPT_KEYS)

    class Browsed(Message):
        """Another entry of the history is shown."""

    def __init__(self, history: PromptHistory, **options: Any) -> None:
        super().__init__(placeholder=PLACEHOLDER, soft_wrap=True, tab_behavior="focus", compact=True, **options)
        self.prompts = history
        self.cursor_blink = False
        self.highlight_cursor_line = False

    def action_cursor_up(self, select: bool = False) -> None:
        if (
            not select
            and self.cursor_at_first_line
            and self.wrapped_document.location_to_offset(self.cursor_location).y == 0
        ):
            self._browse(self.prompts.older(self.text), to_end=False)
        else:
            super().action_cursor_up(select)

    def action_cursor_down(self, select: bool = False) -> None:
        last = self.wrapped_document.height - 1
        if not select and self.wrapped_document.location_to_offset(self.cursor_location).y >= last:
            self._browse(self.prompts.newer(), to_end=True)
        else:
            super().action_cursor_down(select)

    def action_leave(self) -> None:
        self.screen.set_focus(None)

    def _browse(self, prompt: str | None, *, to_end: bool) -> None:
        """Show an entry, the cursor where the next press of the same key goes on browsing."""
        if prompt is None:
            return
        self.load_text(prompt)
        self.move_cursor(self.document.end if to_end else (0, 0))
        self.post_message(self.Browsed())


class PromptPane(Pane):
    TITLE = "Prompt"

    def __init__(self, history: PromptHistory) -> None:
        self.editor = PromptEditor(history)
        super().__init__(self.editor, id="prompt")

    def on_prompt_editor_browsed(self) -> None:
        self._say_where()

    def on_text_area_changed(self) -> None:
        self._say_where()

    def _say_where(self) -> None:
        position = self.editor.prompts.position
        text = f"history {position[0]} of {position[1]}" if position else ""
        self.heading.detail = Content.assemble((text, "$muted")) if text else Content("")
