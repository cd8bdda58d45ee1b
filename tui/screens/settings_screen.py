"""All settings, a line each; enter changes one, and the file on the disk with it."""

from __future__ import annotations

from dataclasses import Field
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from flux2.settings import SETTINGS, complaint_about, overridden, settings_path
from tui.lines.text import room, wrapped
from tui.program import Program
from tui.screens.dialog import Dialog
from tui.screens.menu import Menu, MenuLine
from tui.screens.text_dialog import TextDialog
from tui.widgets.plain import Label, Option, OptionList

_NAME_WIDTH = max(len(item.name) for item in SETTINGS)
_VALUE_WIDTH = 22
_WIDTH, _FRAME = 84, 6
"""Columns of the dialog, and of its border and padding."""


class SettingsScreen(Dialog[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,comma", "back", "close")]
    app: Program

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Settings", classes="dialog-title")
            yield OptionList(compact=True)
            with Vertical(classes="dialog-foot"):
                yield Label("", id="setting-help")
                yield Label(id="setting-hint", classes="dialog-hint")

    def on_mount(self) -> None:
        self._fill()
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        width = room(min(_WIDTH, self.app.size.width * 92 // 100), _FRAME)
        hint = wrapped(f"enter changes it, esc; also in {settings_path()}", width)
        self.query_one("#setting-hint", Label).update(Content("\n".join(hint)))

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        item = SETTINGS[event.option_index]
        variable = overridden(item)
        note = f" {variable} of the environment goes before it." if variable else ""
        self.query_one("#setting-help", Label).update(Content(f"{item.metadata['help']}.{note}"))

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        item = SETTINGS[event.option_index]
        value = getattr(self.app.preferences.settings, item.name)
        if isinstance(value, bool):
            self._change(item, not value)
        elif item.name == "theme":
            from tui.screens.menus import ask_theme

            ask_theme(self.app, self._fill)
        elif choices := item.metadata["choices"]:
            self._choose(item, choices, value)
        else:
            self._type(item, value)

    def _choose(self, item: Field[Any], choices: tuple[str, ...], value: str) -> None:
        def take(chosen: str | None) -> None:
            if chosen is not None:
                self._change(item, chosen)

        self.app.push_screen(Menu(item.name, [MenuLine(name, name) for name in choices], value), take)

    def _type(self, item: Field[Any], value: str | int) -> None:
        def read(text: str) -> str | int:
            return int(text) if isinstance(value, int) else text.strip()

        def check(text: str) -> str:
            try:
                return complaint_about(item, read(text))
            except ValueError:
                return "Write a whole number."

        def take(text: str | None) -> None:
            if text is not None:
                self._change(item, read(text))

        self.app.push_screen(TextDialog(item.name, item.metadata["help"], check, str(value)), take)

    def _change(self, item: Field[Any], value: str | int | bool) -> None:
        self.app.preferences.set(item.name, value)
        self._fill()

    def _fill(self) -> None:
        options = self.query_one(OptionList)
        highlighted = options.highlighted or 0
        options.clear_options()
        options.add_options([Option(self._line(item)) for item in SETTINGS])
        options.highlighted = highlighted

    def _line(self, item: Field[Any]) -> Content:
        value = getattr(self.app.preferences.settings, item.name)
        text = ("yes" if value else "no") if isinstance(value, bool) else str(value or "—")
        changed = value != item.default
        return Content.assemble(
            (f"{item.name:<{_NAME_WIDTH}}   ", "$muted"), (f"{text:<{_VALUE_WIDTH}}", "bold $accent" if changed else "")
        )
