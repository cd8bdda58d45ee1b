"""A menu above the dashboard: a line per option, its letter and what it means; arrows, letters and enter choose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui.screens.dialog import Dialog
from tui.widgets.fields import Field
from tui.widgets.plain import Label, Option, OptionList

_NOTHING = Content("")


@dataclass(frozen=True, slots=True)
class MenuLine:
    value: str
    """Returned by the menu where this line is chosen."""
    title: str
    meaning: str = ""
    """In a few words."""
    letter: str = ""
    """Chooses it at once; "" for none."""
    note: Content = _NOTHING
    """What else there is to say, on a line of its own."""


class Toggle(NamedTuple):
    """A key of a menu that changes what its lines say."""

    key: str
    label: str
    switch: Callable[[], Sequence[MenuLine]]
    """Makes the change; returns the lines as they are now."""


class _Option(Option):
    """Keeps its line, for the menu's may be others by the time that one is heard of."""

    def __init__(self, line: MenuLine, width: int) -> None:
        super().__init__(_drawn(line, width))
        self.line = line


def _drawn(line: MenuLine, width: int) -> Content:
    drawn = Content.assemble(
        (f"{line.letter or ' '}  ", "$accent" if line.letter else ""),
        (f"{line.title:<{width}}   ", ""),
        (line.meaning, "$muted"),
    )
    return Content("\n   ").join([drawn, line.note]) if line.note else drawn


class Menu(Dialog[str]):
    """Returns the chosen value. With `typed`, a field below takes what is in no line; it is checked while one types."""

    def __init__(
        self,
        title: str,
        lines: Sequence[MenuLine],
        current: str = "",
        *,
        typed: str = "",
        check: Callable[[str], str] | None = None,
        on_highlight: Callable[[str], None] | None = None,
        toggle: Toggle | None = None,
    ) -> None:
        """
        Args:
            title: above the lines.
            lines: in their order.
            current: the value of the line that is highlighted at first.
            typed: placeholder of the field, "" for no field.
            check: a typed text's fault as a sentence, "" where it will do.
            on_highlight: told of every line that the user moves to, for previews.
            toggle: a further key.
        """
        super().__init__()
        self._title, self._lines, self._current = title, lines, current
        self._typed, self._check, self._on_highlight, self._toggle = typed, check, on_highlight, toggle

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(self._title, classes="dialog-title")
            yield OptionList(*self._options(), compact=True)
            with Vertical(classes="dialog-foot"):
                if self._typed:
                    yield Field(placeholder=self._typed, compact=True)
                    yield Label("", classes="dialog-complaint")
                yield Label(self._hint(), classes="dialog-hint")

    def _options(self) -> list[_Option]:
        width = max((len(line.title) for line in self._lines), default=0)
        return [_Option(line, width) for line in self._lines]

    def _hint(self) -> str:
        further = f", {self._toggle.key} {self._toggle.label}" if self._toggle else ""
        return "↑ ↓ or a letter, enter, esc" + (", tab to type" if self._typed else "") + further

    def on_mount(self) -> None:
        values = [line.value for line in self._lines]
        menu = self.query_one(OptionList)
        menu.highlighted = values.index(self._current) if self._current in values else 0
        menu.focus()

    def on_key(self, event: events.Key) -> None:
        """A letter chooses, be it typed before the lines are drawn."""
        for line in self._lines:
            if line.letter and event.character == line.letter and not isinstance(self.focused, Input):
                event.stop()
                self.dismiss(line.value)
        if self._toggle and event.character == self._toggle.key and not isinstance(self.focused, Input):
            event.stop()
            self._show(self._toggle.switch())

    def _show(self, lines: Sequence[MenuLine]) -> None:
        """Other lines in the place of those that are there."""
        menu = self.query_one(OptionList)
        place = menu.highlighted
        self._lines = lines
        menu.set_options(self._options())
        menu.highlighted = place

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        if self._on_highlight is not None:
            self._on_highlight(_value(event.option))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(_value(event.option))

    def on_input_changed(self, event: Input.Changed) -> None:
        complaint = self._check(event.value) if self._check and event.value else ""
        self.query_one(".dialog-complaint", Label).update(Content(complaint))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.value and not (self._check and self._check(event.value)):
            self.dismiss(event.value)


def _value(option: Option) -> str:
    assert isinstance(option, _Option)
    return option.line.value
