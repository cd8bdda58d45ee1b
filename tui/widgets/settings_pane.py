"""The settings of the next picture: a column of rows where there is room, one line where there is not.

With the focus on it, one arrow axis goes from setting to setting and the other changes it; enter opens its menu. The
letters in front act from everywhere outside text fields.
"""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from flux2.architecture.catalog import label
from flux2.humanize import printable
from tui.lines.text import fitted, room, size
from tui.state.choices import QUANTIZATION_LINES, RESIDENCY_LINES, SEED_MODE_LINES, Choices
from tui.terminal.inside_textual import Chosen
from tui.widgets.pane import Pane


@dataclass(frozen=True, slots=True)
class ChoiceRow:
    """What of the choices a row shows, and the letter that opens its menu."""

    name: str
    label: str
    letter: str
    unit: str = ""
    """Written after the value on the one line, where no label explains it."""


ROWS = (
    ChoiceRow("model", "Model", "m"),
    ChoiceRow("quantization", "Quant", "n"),
    ChoiceRow("size", "Size", "d"),
    ChoiceRow("steps", "Steps", "i", " steps"),
    ChoiceRow("guidance", "Guidance", "i", " guidance"),
    ChoiceRow("seed", "Seed", "s"),
)
_COLUMN_FROM = 6  # rows
_NOTES_FROM = 78  # columns


class SettingsForm(Widget, can_focus=True):
    choices: reactive[Choices] = reactive(Choices())
    selected: reactive[int] = reactive(0)

    class Changed(Message):
        """An arrow key asks for the next or previous value of a setting."""

        def __init__(self, setting: str, by: int) -> None:
            super().__init__()
            self.setting = setting
            self.by = by

    class Opened(Chosen):
        """The user wants a setting's menu."""

        def __init__(self, setting: str) -> None:
            super().__init__()
            self.setting = setting

    @property
    def in_column(self) -> bool:
        return self.size.height >= _COLUMN_FROM

    def render(self) -> Content:
        return self._column() if self.in_column else self._line()

    def _column(self) -> Content:
        lines = []
        for place, row in enumerate(ROWS):
            here = self.has_focus and place == self.selected
            arrows = ("◂ ", " ▸") if here else ("  ", "  ")
            value = f"{arrows[0]}{self._named(row)}{arrows[1]}"
            note = self._note(row) if self.size.width >= _NOTES_FROM else ""
            lines.append(
                Content.assemble(
                    (row.letter if row.letter != _letter_above(place) else " ", "$accent"),
                    (f"  {row.label:<9}", "$muted"),
                    (f"{value:<18}", "bold $accent" if here else "$foreground"),
                    (note, "$muted"),
                )
            )
        return Content("\n").join(lines)

    def _line(self) -> Content:
        parts: list[tuple[str, str]] = []
        for place, row in enumerate(ROWS):
            here = self.has_focus and place == self.selected
            if row.name == "guidance" and self.size.width < 90:
                continue  # it is in the steps' menu; the line is short
            parts += [("   ", "")] if parts else []
            if row.letter != _letter_above(place):
                parts += [(f"{row.letter} ", "$accent")]
            parts += [(self._value(row) + row.unit, "bold $accent" if here else "$foreground")]
        return Content.assemble(*parts)

    def _value(self, row: ChoiceRow) -> str:
        choices = self.choices
        match row.name:
            case "model":
                return f"{self._model} +{len(choices.loras)}" if choices.loras else self._model
            case "quantization":
                return choices.level
            case "size":
                return size(*choices.size)
            case "steps":
                return str(choices.step_count or "default")
            case "guidance":
                scale = choices.guidance_scale
                return "default" if scale is None else f"{scale:.1f}"
            case "seed":
                if choices.seed_mode == "random" or choices.seed is None:
                    return "random" if choices.seed_mode == "random" else f"any {choices.seed_mode}"
                return f"{choices.seed} {choices.seed_mode}"
            case _:
                return str(getattr(choices, row.name))

    def _named(self, row: ChoiceRow) -> str:
        """The value, and of a model the LoRAs by their names: in a column there is room for them."""
        loras = self.choices.loras
        if row.name != "model" or not loras:
            return self._value(row)
        return fitted(f"{self._model} + {printable(', '.join(map(str, loras)))}", room(self.size.width, 16, least=8))

    @property
    def _model(self) -> str:
        choices = self.choices
        name = label(choices.model) if choices.base or choices.card else choices.model
        return " + ".join([name, *choices.parts_of_others])

    def _note(self, row: ChoiceRow) -> str:
        """What the value means, where there is room to say it."""
        choices, card = self.choices, self.choices.card
        match row.name:
            case "model" if others := choices.parts_of_others:
                said = (f"{part} {printable(place)}" for part, place in others.items())
                return f"with {' and '.join(said)}, until a model is chosen"
            case "model":
                own = "a file of " if choices.base else ""
                return f"{own}{card.title}, {card.licence}" if card else "a repository or folder of your own"
            case "quantization":
                note = QUANTIZATION_LINES[choices.quantization]
                return note if choices.residency == "resident" else RESIDENCY_LINES[choices.residency]
            case "steps":
                return "the model's own number" if choices.steps is None else ""
            case "seed":
                return SEED_MODE_LINES[choices.seed_mode]
            case _:
                return ""

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def on_key(self, event: events.Key) -> None:
        selecting, changing = ("up", "down"), ("left", "right")
        if not self.in_column:
            selecting, changing = ("left", "right"), ("down", "up")
        if event.key in selecting:
            self.selected = (self.selected + (1 if event.key == selecting[1] else -1)) % len(ROWS)
        elif event.key in changing:
            self.post_message(self.Changed(ROWS[self.selected].name, 1 if event.key == changing[1] else -1))
        elif event.key == "enter":
            self.post_message(self.Opened(ROWS[self.selected].name))
        else:
            return
        event.stop()

    def on_click(self, event: events.Click) -> None:
        if self.in_column and event.y < len(ROWS):
            self.selected = event.y
            self.post_message(self.Opened(ROWS[event.y].name))


def _letter_above(place: int) -> str:
    return ROWS[place - 1].letter if place else ""


class SettingsPane(Pane):
    TITLE = "Settings"
    HELP = "The next picture's model, quantization, size, steps, guidance and seed."

    def __init__(self) -> None:
        self.form = SettingsForm()
        super().__init__(self.form, id="settings")
