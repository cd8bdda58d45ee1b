"""A dialog of one field."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from tui.screens.dialog import Dialog
from tui.widgets.fields import Field
from tui.widgets.plain import Label


class TextDialog(Dialog[str]):
    """Returns the text."""

    def __init__(self, title: str, placeholder: str, check: Callable[[str], str], value: str = "") -> None:
        """
        Args:
            check: what is wrong with a text, in a sentence; "" for nothing.
        """
        super().__init__()
        self._title, self._placeholder, self._check, self._value = title, placeholder, check, value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(self._title, classes="dialog-title")
            yield Field(self._value, placeholder=self._placeholder, compact=True)
            with Vertical(classes="dialog-foot"):
                yield Label("", classes="dialog-complaint")
                yield Label("enter, esc", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if complaint := self._check(event.value):
            self.query_one(".dialog-complaint", Label).update(Content(complaint))
        else:
            self.dismiss(event.value)
