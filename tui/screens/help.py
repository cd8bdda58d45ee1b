"""Every key and what it does, made from the key map's table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from tui.keys.keymap import KEYS, PANE_KEYS, PICTURES_IN_KEYS, PROMPT_KEYS, QUEUE_KEYS, SETTINGS_KEYS, Key
from tui.lines.text import room, wrapped
from tui.program import Program
from tui.screens.dialog import Dialog
from tui.widgets.plain import Label, Static

_DASHBOARD = (*KEYS, *PANE_KEYS, *PROMPT_KEYS, *SETTINGS_KEYS, *PICTURES_IN_KEYS, *QUEUE_KEYS)

_KEYS_WIDTH = 20
_INDENT = 2
_WIDTH = 96
"""Columns of all lines, where there is room."""
_FRAME = 6
"""Columns of a dialog's border, padding and scroll bar."""
_NARROW = 20
"""Columns beside the keys below which what they do goes under them."""

_NAMES = "; names: for [keys] in settings.toml"


class Help(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1,q", "back", "close"),
        Binding("up,k", "scroll(-1)", show=False),
        Binding("down,j", "scroll(1)", show=False),
        Binding("pageup", "scroll(-10)", show=False),
        Binding("pagedown,space", "scroll(10)", show=False),
    ]

    app: Program

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
                yield Label(f"↑ ↓ scroll, esc closes{_NAMES}", classes="dialog-hint")

    def on_resize(self) -> None:
        self.query_one("#help-keys", Static).update(Content("\n").join(self._lines()))

    def _lines(self) -> Iterator[Content]:
        """A heading per group; what a key does stays in its column where it takes several lines."""
        width = min(_WIDTH, room(self.app.size.width, _FRAME))
        beside = room(width, _INDENT, _KEYS_WIDTH)
        group = ""
        for key in self._keys:
            key = replace(key, keys=self.app.preferences.keys.get(key.id, key.keys))
            if key.group != group:
                if group:
                    yield Content("")
                group = key.group
                yield Content.styled(group, "bold")
            first = Content.styled(f"  {key.display:<{_KEYS_WIDTH}}", "$accent")
            if beside >= _NARROW:
                says = _said(key, beside)
                yield first + says[0]
                yield from (Content(" " * first.cell_length) + line for line in says[1:])
            else:
                yield first
                yield from (Content(" " * 2 * _INDENT) + line for line in _said(key, room(width, 2 * _INDENT)))

    def action_scroll(self, lines: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


def _said(key: Key, width: int) -> list[Content]:
    """What a key does in lines of this width, with the name by which it can be changed on the right of the last."""
    lines = [Content.styled(line, "$foreground") for line in wrapped(key.help, width)]
    if key.action:
        if lines[-1].cell_length + len(key.id) + 2 > width:
            lines.append(Content(""))
        gap = room(width, lines[-1].cell_length, len(key.id), least=0)
        lines[-1] = Content.assemble(lines[-1], " " * gap, (key.id, "$muted"))
    return lines
