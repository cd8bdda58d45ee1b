"""One question, answered with a key."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content

from tui.program import Program
from tui.screens.dialog import Dialog
from tui.widgets.plain import Label


class Confirm(Dialog[bool]):
    """True if the user wants it. The key that asked the question confirms it, too: pressing it twice does it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", show=False),
        Binding("n,escape,ctrl+c", "answer(False)", show=False),
    ]

    app: Program

    def __init__(self, question: str, asked_by: str = "", stands: Callable[[], bool] | None = None) -> None:
        """
        Args:
            question: what the user is to answer.
            asked_by: whose keys asked it, by its id in the key map.
            stands: whether there is still something to answer; the dialog goes when there is not.
        """
        super().__init__()
        self._question = question
        self._stands = stands
        self._keys = "y"
        self._asked_by: list[str] = []
        if asked_by:
            key = self.app.key_of(asked_by)
            self._keys += f", {key.display}"
            self._asked_by = key.keys.split(",")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(Content(self._question), classes="dialog-title")
            yield Label(Content.assemble((self._keys, "$accent"), " yes    ", ("n, esc", "$accent"), " no"))

    def on_mount(self) -> None:
        if self._stands:
            self.set_interval(0.25, self._leave_unless_it_stands)

    def _leave_unless_it_stands(self) -> None:
        if self._stands and not self._stands():
            self.dismiss(False)

    def on_key(self, event: events.Key) -> None:
        if event.key in self._asked_by:
            event.stop()
            self.dismiss(True)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)
