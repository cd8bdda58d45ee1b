"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "wrong"]
"""State of what was checked: as it should be; worth knowing; in the way of pictures."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    state: State
    what: str
    remedy: str = ""
    """What to do about it, a sentence; "" where there is nothing to do."""


def ok(what: str) -> Finding:
    return Finding("ok", what)


def note(what: str, remedy: str = "") -> Finding:
    return Finding("note", what, remedy)


def wrong(what: str, remedy: str) -> Finding:
    return Finding("wrong", what, remedy)
