"""How far a source picture is sent back into noise, and how many of a schedule's steps then lead out of it again.

Strength is diffusers': of n steps the last n · strength run, at 1 all of them, from noise alone. A request's `steps`
are those that run, so that a schedule is made for as many more as strength leaves out: at strength 0.6, four steps are
the last four of six. In Python `num_inference_steps` is n, as in diffusers: `as_run` makes a request of it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

_DUST = 1e-6  # of a step: what floating point may be off, in 0.1 · 30


class PartOfSchedule(NamedTuple):
    """The steps of a schedule that a run goes through: its last ones."""

    total: int
    """Steps of the schedule, diffusers' `num_inference_steps`."""
    first: int
    """Steps that are left out; at 0 nothing is kept of the source."""

    @property
    def runs(self) -> int:
        return self.total - self.first


def scheduled(steps: int, strength: float) -> PartOfSchedule:
    """The part of a schedule that so many steps at this strength, above 0, are."""
    total = max(steps, math.floor(steps / strength + _DUST))
    return PartOfSchedule(total, total - steps)


def as_run(num_inference_steps: int, strength: float) -> tuple[int, float]:
    """Steps that run of diffusers' n, and the strength, the one given or nearest to it, with which they are `scheduled`
    as the last of these n. No steps, where the strength runs none."""
    total = num_inference_steps
    steps = total - int(max(total - min(total * strength, total), 0))
    same = not steps or scheduled(steps, strength).total == total
    return steps, strength if same else steps / total


def strongest_that_keeps(steps: int) -> float:
    """The greatest strength, of those with two decimals, at which so many steps keep something of the source."""
    return math.floor(100 * steps / (steps + 1) + _DUST) / 100


def weakest_that_runs(steps: int, most_steps: int) -> float:
    """The least strength, of those with three decimals, whose schedule of so many steps has `most_steps` at most."""
    return math.ceil(1000 * steps / most_steps - _DUST) / 1000
