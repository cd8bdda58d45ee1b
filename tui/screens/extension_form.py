"""A small form: by how many pixels the picture that is changed is extended on each side."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.architecture.canvas_sizes import canvas_complaint
from flux2.inputs.attachment import Attachment
from flux2.inputs.checks import MAX_SIZE, MIN_SIZE
from tui.lines.strength_lines import extension
from tui.screens.dialog import Dialog
from tui.widgets.fields import Field
from tui.widgets.plain import Label

Sides = tuple[int, int, int, int]

_SIDES = ("top", "right", "bottom", "left")
_STEP = 64
"""Pixels that ctrl+t adds on every side."""


class ExtensionForm(Dialog[Sides]):
    """Returns the pixels at top, right, bottom and left; all 0 for none."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("ctrl+t", "all_sides", "more on all sides"),
    ]

    def __init__(self, source: Attachment, sides: tuple[int, ...] | None) -> None:
        """
        Args:
            sides: as they are.
        """
        super().__init__()
        self._source, self._sides = source, sides or (0, 0, 0, 0)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("Extend the picture", classes="dialog-title")
            with Grid(classes="dialog-form"):
                for name, pixels in zip(_SIDES, self._sides, strict=True):
                    yield Label(name.capitalize())
                    yield Field(str(pixels or ""), placeholder="0 pixels", id=name, compact=True)
            with Vertical(classes="dialog-foot"):
                yield Label("", id="extended-size")
                yield Label("", classes="dialog-complaint")
                yield Label(f"↑ ↓ to move, ctrl+t {_STEP} more on all sides, enter, esc", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one("#top", Input).focus()
        self._show()

    def action_all_sides(self) -> None:
        sides, wrong = self._read()
        if not wrong:
            for name, pixels in zip(_SIDES, sides, strict=True):
                self.query_one(f"#{name}", Input).value = str(pixels + _STEP)

    def on_input_changed(self) -> None:
        self._show()

    def _show(self) -> None:
        sides, wrong = self._read()
        size = extension((self._source.width, self._source.height), sides) if any(sides) and not wrong else ""
        self.query_one("#extended-size", Label).update(Content(size or "not extended"))
        self.query_one(".dialog-complaint", Label).update(Content(wrong))

    def on_input_submitted(self) -> None:
        sides, wrong = self._read()
        if not wrong:
            self.dismiss(sides)

    def _read(self) -> tuple[Sides, str]:
        """The sides as typed, and what is wrong with them in a sentence."""
        found = []
        for name in _SIDES:
            text = self.query_one(f"#{name}", Input).value.strip()
            if text and not (text.isascii() and text.isdigit() and len(text) <= 6):
                return (0, 0, 0, 0), f"{name.capitalize()} {text!r:.20} is no number of pixels."
            found.append(int(text or 0))
        top, right, bottom, left = found
        sides = top, right, bottom, left
        if not any(sides):
            return sides, ""
        size = self._source.width, self._source.height
        return sides, canvas_complaint(size, sides, MIN_SIZE, MAX_SIZE) or ""
