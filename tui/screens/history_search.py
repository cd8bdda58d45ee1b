"""The prompt history, narrowed down by typing; the newest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui.lines.text import ellipsis, room
from tui.screens.dialog import Dialog
from tui.state.fuzzy import matcher
from tui.widgets.fields import Field
from tui.widgets.plain import Label, Option, OptionList

SHOWN = 100
"""Prompts in the list; typing narrows it down."""


class _Line(Option):
    def __init__(self, prompt: str, width: int) -> None:
        super().__init__(Content(ellipsis(prompt, width)))
        self.prompt_text = prompt


class HistorySearch(Dialog[str]):
    """Returns the chosen prompt."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down,ctrl+r", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
    ]

    def __init__(self, prompts: Sequence[str]) -> None:
        """
        Args:
            prompts: oldest first.
        """
        super().__init__()
        self._prompts = list(dict.fromkeys(reversed(prompts)))
        self._found: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Earlier prompts", classes="dialog-title")
            yield Field(placeholder="a few letters of it", compact=True)
            yield OptionList(compact=True)
            with Vertical(classes="dialog-foot"):
                yield Label("type to narrow down, ↑ ↓, enter, esc", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._fill("")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._fill(event.value)

    def on_input_submitted(self) -> None:
        place = self.query_one(OptionList).highlighted
        if place is not None:
            self.dismiss(self._found[place])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """The line's own prompt: what is typed meanwhile may have put another in its place, or none."""
        assert isinstance(event.option, _Line)
        self.dismiss(event.option.prompt_text)

    def _fill(self, query: str) -> None:
        found = matcher(query)
        self._found = [prompt for prompt in self._prompts if found(prompt)][:SHOWN]
        width = room(self.app.size.width * 9 // 10, 10, least=20)
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([_Line(prompt, width) for prompt in self._found])
        if self._found:
            options.highlighted = 0

    def action_move(self, by: int) -> None:
        options = self.query_one(OptionList)
        if self._found:
            options.highlighted = max(0, min(len(self._found) - 1, (options.highlighted or 0) + by))
