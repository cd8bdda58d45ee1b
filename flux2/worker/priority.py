"""The worker's place behind whoever answers a person: the screen first of all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

NICENESS = 5
"""Niceness, of 19 at most: a third of what others get where all want one core. Where they don't, a run is as fast as
ever, and a GPU doesn't know of it."""
_SESSION = Path("/proc/self/autogroup")


def give_way() -> None:
    """Take a core only from those who don't need it sooner.

    Linux weighs sessions against each other first where it groups them (sched(7)), and processes within a session only
    then: so the session steps back, too, if it is this process's own.
    """
    os.nice(NICENESS)
    if os.getsid(0) == os.getpid():
        with contextlib.suppress(OSError):  # macOS, or a kernel that doesn't group
            _SESSION.write_text(str(NICENESS))
