"""What this program changes inside Textual and its drivers, for want of a public way.

Each part rests on names that Textual may change. One that has changed costs the part, not the program: `missing` names
what is gone, and a test insists that nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from textual import events
from textual.drivers import linux_driver

ESCAPE = "\x1b"
_SIGNS = "0123456789-="
"""What with alt held is another sign on a Mac's keyboard."""


def _takes(owner: object, name: str, *parameters: str) -> bool:
    """Whether there is a function of that name with these parameters first."""
    code = getattr(getattr(owner, name, None), "__code__", None)
    return code is not None and code.co_varnames[: len(parameters)] == parameters


# --- escape and a key at once ----------------------------------------------------------------------------------------

_Parser: Any = getattr(linux_driver, "XTermParser", object)


class EscapeFirstParser(_Parser):
    """Escape and a key that arrive together are those two, not the key with alt held, which nothing here means.

    tmux sends them together where they are typed within half a second, and so does any line that falters. Textual's
    own parser makes alt+m of escape and m, which a text field takes as an m, and a ? of escape and ?.
    """

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[events.Key]:
        if len(sequence) == 2 and sequence[0] == ESCAPE and sequence[1] in _SIGNS:
            sequence, alt = sequence[1], True
        if alt and sequence != "\r":
            yield events.Key("escape", ESCAPE)
        if alt and sequence == "\r":
            yield events.Key("alt+enter", sequence)
        else:
            yield from super()._sequence_to_key_events(sequence)


_PARSES = _takes(_Parser, "_sequence_to_key_events", "self", "sequence", "alt")


def take_escape_first() -> None:
    """Let the terminal be read so; before the program runs."""
    if _PARSES:
        vars(linux_driver)["XTermParser"] = EscapeFirstParser


def missing() -> list[str]:
    """The parts that this version of Textual does not bear."""
    parts = {"escape and a key at once": _PARSES}
    return [name for name, there in parts.items() if not there]
