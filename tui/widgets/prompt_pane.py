"""The prompt editor: a text area whose first and last lines lead into the history, and what is known of the text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import events
from textual.binding import BindingType
from textual.content import Content
from textual.message import Message

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.humanize import printable
from flux2.inputs.wildcards import count, has_wildcards
from tui.keys.bindings import bindings
from tui.keys.keymap import PROMPT_KEYS
from tui.state.prompt_history import PromptHistory
from tui.widgets.fields import Editor
from tui.widgets.pane import Pane

if TYPE_CHECKING:
    from flux2.worker.commands import TokenCount

EXAMPLE = "a fluffy orange tabby cat sitting on a windowsill at sunset"
PLACEHOLDER = Content(f"What should the picture show? For example: {EXAMPLE}")
_CHARACTERS_PER_TOKEN = 4.3
"""Characters per token of English prose in the models' vocabularies, for the estimate before the worker has counted."""
_TEMPLATE_TOKENS = 12
"""Tokens that the chat template adds."""
_NEGATIVE_SHOWN = 24
"""Characters of the negative prompt beside the heading."""
_MAX_COUNTED = 20_000
"""Characters of a text in which wildcards are looked for while one types."""


class PromptEditor(Editor):
    BINDINGS: ClassVar[list[BindingType]] = bindings(PROMPT_KEYS)

    class Browsed(Message):
        """Another entry of the history is shown."""

    class PicturesDropped(Message):
        """The paths of pictures were pasted, or pictures dragged into the terminal."""

        def __init__(self, paths: list[Path]) -> None:
            super().__init__()
            self.paths = paths

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

    def action_cursor_right(self, select: bool = False) -> None:
        """In an empty field the example is taken, as shells do with what they suggest."""
        if self.text:
            super().action_cursor_right(select)
        else:
            self.load_text(EXAMPLE)
            self.move_cursor(self.document.end)

    def action_leave(self) -> None:
        self.screen.set_focus(None)

    def on_paste(self, event: events.Paste) -> None:
        """A picture's path is taken as the picture; any other text goes on to the text area's own handler."""
        from tui.terminal.pasted_paths import pasted_paths

        if paths := pasted_paths(event.text):
            event.prevent_default()
            event.stop()
            self.post_message(self.PicturesDropped(paths))

    def _browse(self, prompt: str | None, *, to_end: bool) -> None:
        """Show an entry, the cursor where the next press of the same key goes on browsing."""
        if prompt is None:
            return
        self.load_text(prompt)
        self.move_cursor(self.document.end if to_end else (0, 0))
        self.post_message(self.Browsed())


class PromptPane(Pane):
    TITLE = "Prompt"
    HELP = (
        "What the picture should show. Of {red|blue} one is taken by the seed. A picture's path, pasted "
        "or dragged here, is a reference, is changed, or brings its settings."
    )

    def __init__(self, history: PromptHistory) -> None:
        self.editor = PromptEditor(history)
        self._counted: tuple[str, int] | None = None
        self._limit = MAX_TEXT_TOKENS  # until the worker has said how many this model reads
        self._negative = ""
        super().__init__(self.editor, id="prompt")

    def put(self, prompt: str) -> None:
        """Another text in the editor, the cursor at its end; ctrl+z brings the old one back."""
        editor = self.editor
        editor.replace(prompt, (0, 0), editor.document.end)
        editor.move_cursor(editor.document.end)
        editor.focus()

    def show_tokens(self, text: str, counted: TokenCount | None) -> None:
        """What the worker has counted, if the text is still the same. None where it can't."""
        if counted is not None:
            self._limit = counted.limit
            self._counted = (text, counted.tokens)
        self._say()

    def show_negative(self, negative: str | None) -> None:
        """What the picture is to stay away from, which stands in no field of this pane."""
        if (said := " ".join((negative or "").split())) != self._negative:
            self._negative = said
            self._say()

    @property
    def is_counted(self) -> bool:
        return self._counted is not None and self._counted[0] == self.editor.text

    def on_prompt_editor_browsed(self) -> None:
        self._say()

    def on_text_area_changed(self) -> None:
        self._say()

    def _say(self) -> None:
        text = self.editor.text
        parts: list[tuple[str, str]] = []
        if self._negative:
            parts.append((f"without {printable(self._negative[:_NEGATIVE_SHOWN])}", "$muted"))
        if position := self.editor.prompts.position:
            parts.append((f"history {position[0]} of {position[1]}", "$muted"))
        if len(text) <= _MAX_COUNTED and has_wildcards(text):
            parts.append((f"{count(text):,} prompts in one", "$muted"))
        if text.strip():
            parts.append(self._tokens(text))
        spaced = [piece for part in parts for piece in (part, ("   ", ""))][:-1]
        self.heading.detail = Content.assemble(*spaced)

    def _tokens(self, text: str) -> tuple[str, str]:
        """`31 of 512 tokens`, the number an estimate until the worker has counted this very text."""
        exact = self.is_counted
        estimate = round(len(text) / _CHARACTERS_PER_TOKEN) + _TEMPLATE_TOKENS
        tokens = self._counted[1] if exact and self._counted else estimate
        style = "$warning" if tokens > self._limit else "$muted"
        return f"{'' if exact else '≈ '}{tokens} of {self._limit} tokens", style
