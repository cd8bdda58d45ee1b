"""What a strength does: which steps run, the noise level that they begin at, and how much of the source that leaves."""

from __future__ import annotations

from dataclasses import dataclass

from flux2.architecture.canvas_sizes import canvas_size
from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.strength import scheduled, strongest_that_keeps
from flux2.denoise.schedule import FLUX2, levels_of_run
from flux2.planning.run_facts import picture_tokens
from tui.lines.text import size

OFFERED = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a strength does."""

    steps: int
    """Steps that run."""
    total: int
    """Steps of the schedule that they are the last of."""
    noise: float
    """Noise level that they begin at, 0 to 1."""

    @property
    def line(self) -> str:
        """`4 steps, the last of 5; begins at 97 % noise`"""
        steps = f"{self.steps} step{'s' * (self.steps != 1)}"
        if self.total == self.steps:
            return f"{steps}, all from noise: nothing of it is kept"
        return f"{steps}, the last of {self.total}; begins at {100 * self.noise:.0f} % noise"

    @property
    def short(self) -> str:
        """`from 97 % noise`"""
        return "from noise alone" if self.total == self.steps else f"from {100 * self.noise:.0f} % noise"


def effect_of(strength: float, steps: int, drawn: tuple[int | None, int | None]) -> Effect:
    """What it does with so many steps that run, at this width and height."""
    part = scheduled(steps, strength)
    width, height = (max(TOKEN_PIXELS, side or 1024) for side in drawn)
    begins, *_ = levels_of_run(steps, strength, picture_tokens([(width, height)]), FLUX2)
    return Effect(part.runs, part.total, begins)


def offered_strengths(steps: int) -> list[float]:
    """Strengths to choose from: those that differ with so many steps, and the greatest that keeps something."""
    found: dict[int, float] = {}
    for strength in sorted({*OFFERED, strongest_that_keeps(steps)}):
        if strength > 0:
            found[scheduled(steps, strength).total] = strength
    return sorted(found.values())


def extension(source: tuple[int, int], sides: tuple[int, ...]) -> str:
    """`1152×1024, from 1024×1024`"""
    return f"{size(*canvas_size(source, sides))}, from {size(*source)}"
