"""Whether the terminal has taken what was written to it: asked where its cursor is, it answers in its turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_WHERE_IS_THE_CURSOR = "\x1b[6n"
_PATIENCE = 3.0
"""Seconds after which a terminal is taken for one that does not answer."""
_PACE = 1.0
"""Seconds between two pieces for such a terminal."""


class Echo:
    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._answer = asyncio.Event()
        self._answers = True

    def answered(self) -> None:
        """The terminal has said where its cursor is."""
        self._answers = True
        self._answer.set()

    async def caught_up(self) -> None:
        """Wait until all that was written has been taken, so that what comes next stands behind nothing."""
        if not self._answers:
            await asyncio.sleep(_PACE)
        self._answer.clear()
        self._write(_WHERE_IS_THE_CURSOR)
        if self._answers:
            try:
                await asyncio.wait_for(self._answer.wait(), _PATIENCE)
            except TimeoutError:
                self._answers = False
