"""What all dialogs share: a box above the screen, and the keys that close it without an answer."""

from __future__ import annotations

from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from tui.terminal.inside_textual import SteadyScreen

Answer = TypeVar("Answer")


class Dialog(ModalScreen[Answer | None], SteadyScreen[Answer | None]):
    """Returns the answer, or None if the user went back."""

    DEFAULT_CLASSES = "dialog"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c", "back", "back")]

    def action_back(self) -> None:
        self.dismiss(None)
