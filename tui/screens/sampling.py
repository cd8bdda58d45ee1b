"""Steps, guidance and seed in one small form, the asked-for field first."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Grid, Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.errors import RequestError
from flux2.request import GenerationRequest
from tui.screens.dialog import Dialog
from tui.state.choices import SEED_MODES, Choices
from tui.widgets.fields import Field
from tui.widgets.plain import Label

_NUMBERS = {"steps": int, "guidance": float, "seed": int, "variation_strength": float, "variation_seed": int}


class SamplingDialog(Dialog[Choices]):
    """Returns the changed choices. An empty field means the model's default."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
        Binding("ctrl+t", "mode", "seed mode"),
    ]

    def __init__(self, choices: Choices, first: str, last_seed: int | None) -> None:
        """
        Args:
            choices: as they are.
            first: the field that gets the focus: "steps", "guidance" or "seed".
            last_seed: of the last picture, for leaving the random mode.
        """
        super().__init__()
        self._choices, self._first, self._last_seed = choices, first, last_seed

    def compose(self) -> ComposeResult:
        card = self._choices.card
        with Vertical(classes="dialog-box"):
            yield Label("Steps, guidance, seed", classes="dialog-title")
            with Grid(classes="dialog-form"):
                yield Label("Steps")
                yield self._field("steps", str(card.steps) if card else "")
                yield Label("Guidance")
                yield self._field("guidance", f"{card.guidance:.1f}" if card else "")
                yield Label("Negative")
                yield self._field("negative_prompt", "needs guidance above 1")
                yield Label("Seed")
                yield self._field("seed", "a new one each time")
                yield Label("Seed mode")
                yield Label(self._modes(), id="seed-modes")
                yield Label("Vary by")
                yield self._field("variation_strength", "0 to 1, such as 0.1: the same scene, a little different")
                yield Label("Towards")
                yield self._field("variation_seed", "a new one each time")
            with Vertical(classes="dialog-foot"):
                yield Label("", classes="dialog-complaint")
                yield Label("↑ ↓ to move, ctrl+t seed mode, enter, esc", classes="dialog-hint")

    def _field(self, name: str, placeholder: str) -> Input:
        value = getattr(self._choices, name)
        if name == "seed" and self._choices.seed_mode == "random":
            value = None
        return Field("" if value is None else str(value), placeholder=placeholder, id=name, compact=True)

    def _modes(self) -> Content:
        current = self._choices.seed_mode
        return Content.assemble(
            *((f"{mode}  ", "bold $accent" if mode == current else "$muted") for mode in SEED_MODES)
        )

    def on_mount(self) -> None:
        self.query_one(f"#{self._first}", Input).focus()

    def action_mode(self) -> None:
        typed, complaint = self._read()
        self._choices = (self._choices if complaint else typed).next_seed_mode(1, self._last_seed)
        seed = self._choices.seed
        show = self._choices.seed_mode != "random" and seed is not None
        with self.prevent(Input.Changed):
            self.query_one("#seed", Input).value = str(seed) if show else ""
        self.query_one("#seed-modes", Label).update(self._modes())

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "seed" and event.value and self._choices.seed_mode == "random":
            self._choices = replace(self._choices, seed_mode="locked")  # one who types a seed wants to keep it
            self.query_one("#seed-modes", Label).update(self._modes())
        self.query_one(".dialog-complaint", Label).update(self._read()[1])

    def on_input_submitted(self) -> None:
        choices, complaint = self._read()
        if not complaint:
            self.dismiss(choices)

    def _read(self) -> tuple[Choices, str]:
        """The choices as typed, and what is wrong with them in a sentence."""
        values: dict[str, float | int | None] = {}
        for name, number in _NUMBERS.items():
            text = self.query_one(f"#{name}", Input).value.strip()
            try:
                values[name] = number(text) if text else None
            except ValueError:
                return self._choices, f"{name.capitalize().replace('_', ' ')} {text!r} is not a number."
        without = self.query_one("#negative_prompt", Input).value.strip() or None
        choices = replace(self._choices, negative_prompt=without, **values)  # type: ignore[arg-type]
        if choices.seed is None:
            choices = replace(choices, seed_mode="random")
        try:
            GenerationRequest(prompt="-", **{name: getattr(choices, name) for name in _NUMBERS}).validated()
        except RequestError as error:
            return choices, str(error)
        return choices, ""
