"""One question, answered with a key."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label


class Confirm(ModalScreen[bool]):
    """True if the user wants it. The key that asked the question confirms it, too: pressing it twice does it."""

    DEFAULT_CLASSES = "dialog"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", show=False),
        Binding("n,escape,ctrl+c", "answer(False)", show=False),
    ]

    def __init__(self, question: str, key: str) -> None:
        super().__init__()
        self._question, self._key = question, key
        self._bindings.bind(key, "answer(True)", show=False)

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(Content(self._question), classes="dialog-title")
            yield Label(Content.assemble((f"y, {self._key}", "$accent"), " yes    ", ("n, esc", "$accent"), " no"))

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
