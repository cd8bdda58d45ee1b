"""How much memory a run may take, and how what it needs compares with that. Imports no MLX."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

from flux2.errors import RequestError
from flux2.events import Memory
from flux2.humanize import parse_size
from flux2.settings import settings

Verdict = Literal["fits", "tight", "does not fit"]
VERDICTS: tuple[Verdict, ...] = ("fits", "tight", "does not fit")

BUDGET_VARIABLE = "FLUX2_MEMORY_BUDGET"
"""Environment variable that says what runs may take, in place of what the device recommends."""
COMFORTABLE = 0.9
"""Share of what there is, above which other programs have to give way."""

MACHINES = (8, 16, 24, 32, 48, 64, 96, 128)
"""GB of memory that machines are sold with."""
_RECOMMENDED = ((36 << 30, 2 / 3), (1 << 62, 3 / 4))
"""Metal's recommended working set as a share of the memory, up to so many bytes: 10.7 GiB of 16, 16 of 24, 48 of 64,
96 of 128. macOS 26 recommends more (11.8 of 16, 17.8 of 24, 107.5 of 128), so that what fits by these does there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What this machine has, bytes."""

    limit: int
    """Where the system would begin to refuse or to swap: what the user set, Metal's recommended working set, or all of
    the memory."""
    available: int
    """What other programs leave now."""

    @classmethod
    def now(cls, limit: int, reading: Memory) -> Budget:
        """Budget with what the meter says; what the process holds already is its own to use again."""
        available = reading.available + reading.active + reading.cache
        return cls(limit=limit, available=available if reading.available else limit)

    def judge(self, peak: int) -> Verdict:
        if peak > self.limit:
            return "does not fit"
        return "fits" if peak <= self.comfortable else "tight"

    def is_better(self, peak: int, other: int) -> bool:
        """Whether a run with this peak gets a better verdict than one with the other."""
        return VERDICTS.index(self.judge(peak)) < VERDICTS.index(self.judge(other))

    @property
    def comfortable(self) -> int:
        """Up to which a run disturbs nobody."""
        return int(COMFORTABLE * min(self.limit, self.available))


def read_budget(text: str, name: str = "The memory budget") -> int:
    """A budget as users write it, in bytes.

    Raises:
        RequestError: if it makes no sense.
    """
    try:
        return parse_size(text)
    except ValueError:
        raise RequestError(f"{name} is {text!r:.80}, which is not a size; write 12GB or 11500MiB.") from None


def user_budget() -> int | None:
    """What the environment, or else the settings file, allows runs to take; None where neither says.

    Raises:
        RequestError: if the environment's makes no sense; the settings file's complaints are told elsewhere.
    """
    if text := os.environ.get(BUDGET_VARIABLE, "").strip():
        return read_budget(text, BUDGET_VARIABLE)
    chosen = settings().memory_budget
    return read_budget(chosen) if chosen else None


def machine_limit(memory: int) -> int:
    """What Metal recommends to stay below on an Apple machine with so many bytes of memory, at the least."""
    share = next(share for up_to, share in _RECOMMENDED if memory <= up_to)
    return int(memory * share)
