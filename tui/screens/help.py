"""Every key and what it does, made from the key map's table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from tui.keymap import KEYS, PROMPT_KEYS, QUEUE_KEYS, SETTINGS_KEYS, Key
from tui.screens.dialog import Dialog
from tui.widgets.plain import Label, Static

if TYPE_CHECKING:
    from tui.app import Flux2App

_DASHBOARD = (*KEYS, *PROMPT_KEYS, *SETTINGS_KEYS, *QUEUE_KEYS)

_KEYS_WIDTH = 20
_WIDTH = 76
"""Of all lines, where there is room."""
_FRAME = 6
"""Columns of a dialog's border, padding and scroll bar."""


class Help(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,q", "back", "close"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    app: Flux2App

    def __init__(self, keys: Sequence[Key] = _DASHBOARD, about: str = "", sentence: str = "") -> None:
        """
        Args:
            about: the pane that has the focus; its keys come first.
            sentence: what that pane is.
        """
        super().__init__()
        self._keys = sorted(keys, key=lambda key: key.group != about)
        self._about, self._sentence = about, sentence

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            with Vertical(classes="dialog-head"):
                yield Label(self._about or "Keys", classes="dialog-title")
                if self._sentence:
                    yield Static(Content(self._sentence), classes="dialog-about")
            with VerticalScroll(can_focus=False):
                yield Static(id="help-keys")
            with Vertical(classes="dialog-foot"):
                yield Label("↑ ↓ scroll, esc closes", classes="dialog-hint")

    def on_resize(self) -> None:
        self.query_one("#help-keys", Static).update(Content("\n").join(self._lines()))

    def _lines(self) -> Iterator[Content]:
        """A heading per group; what a key does stays in its column where it takes several lines."""
        indent = _KEYS_WIDTH + 2
        room = min(_WIDTH, self.app.size.width - _FRAME) - indent
        group = ""
        for key in self._keys:
            key = replace(key, keys=self.app.preferences.keys.get(key.id, key.keys))
            if key.group != group:
                if group:
                    yield Content("")
                group = key.group
                yield Content.styled(group, "bold")
            says = wrap(key.help, room)
            yield Content.assemble((f"  {key.display:<{_KEYS_WIDTH}}", "$accent"), (says[0], "$foreground"))
            yield from (Content.styled(" " * indent + line, "$foreground") for line in says[1:])

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
