"""The menu of LoRAs: which of them the next picture is made with, and how strongly; several at once.

What is changed here is chosen at once; the folder is read beside the screen, for a disk may be slow.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from textual import events, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.errors import RequestError
from flux2.folders import loras_dir
from flux2.humanize import printable
from flux2.inputs.loras import Lora
from tui.lines import lora_lines
from tui.lines.lora_lines import LoraLine
from tui.screens.dialog import Dialog
from tui.state.choices import Choices
from tui.widgets.fields import Field
from tui.widgets.plain import Label, Option, OptionList

_CHANGES: dict[str, Callable[[tuple[Lora, ...], str], tuple[Lora, ...]]] = {
    **dict.fromkeys(("space", "enter"), lora_lines.switched),
    **dict.fromkeys(("plus", "right", "equals_sign"), lambda loras, name: lora_lines.strengthened(loras, name, 0.1)),
    **dict.fromkeys(("minus", "left"), lambda loras, name: lora_lines.strengthened(loras, name, -0.1)),
}
"""What keys do with the LoRA under the cursor."""
_HINT = "↑ ↓, space on or off, + - strength, tab to type, esc"


class LoraMenu(Dialog[None]):
    """Changes the choices while it is open; returns nothing."""

    def __init__(self, choices: Choices, choose: Callable[[Choices], None]) -> None:
        """
        Args:
            choices: as they are now.
            choose: takes new ones.
        """
        super().__init__()
        self._choices, self._choose = choices, choose
        self._lines: list[LoraLine] = []
        self.list = OptionList(compact=True)
        self.words = Label("Looking …", classes="dialog-complaint")

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label("LoRAs", classes="dialog-title")
            yield self.list
            with Vertical(classes="dialog-foot"):
                yield self.words
                yield Field(placeholder="or FILE, or REPOSITORY:NAME, with @0.8 for another strength", compact=True)
                yield Label(_HINT, classes="dialog-hint")

    def on_mount(self) -> None:
        self.list.focus()
        self._look()

    @work(group="loras", exclusive=True)
    async def _look(self) -> None:
        self._lines = await asyncio.to_thread(lora_lines.lora_lines, self._choices)
        self._show()

    def _show(self) -> None:
        """All lines anew, with the cursor where it was."""
        width = lora_lines.name_width(self._lines)
        place = self.list.highlighted
        self.list.set_options(
            [
                Option(lora_lines.drawn(line, lora_lines.scale_of(self._choices.loras, line.name), width))
                for line in self._lines
            ]
        )
        if self._lines:
            self.list.highlighted = min(place or 0, len(self._lines) - 1)
        self._show_words()

    def _show_words(self) -> None:
        line = self.current
        nothing = f"There are none in {loras_dir()}; put files there, or type where one is."
        self.words.update(Content(printable(line.words if line else nothing)))

    @property
    def current(self) -> LoraLine | None:
        """The one under the cursor."""
        place = self.list.highlighted
        return self._lines[place] if place is not None and place < len(self._lines) else None

    def on_option_list_option_highlighted(self) -> None:
        self._show_words()

    def on_key(self, event: events.Key) -> None:
        line = self.current
        if event.key not in _CHANGES or isinstance(self.focused, Input) or line is None:
            return
        event.stop()
        event.prevent_default()
        loras = _CHANGES[event.key](self._choices.loras, line.name)
        if not line.fits and lora_lines.scale_of(self._choices.loras, line.name) is None:
            self.words.update(Content(printable(line.words)))
            self.app.bell()
            return
        self._take(loras)

    def _take(self, loras: tuple[Lora, ...]) -> None:
        self._choices = replace(self._choices, loras=loras)
        self._choose(self._choices)
        self._show()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        try:
            lora = Lora.parse(event.value)
        except RequestError as error:
            self.words.update(Content(printable(str(error))))
            return
        others = tuple(other for other in self._choices.loras if other.name != lora.name)
        self._take((*others, lora))
        event.input.value = ""
        self.list.focus()
        self._look()
