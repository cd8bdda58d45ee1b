"""Ctrl-C during a run: the first asks the run to stop at its next safe place, the second stops the program."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Any


class Cancelled(Exception):  # noqa: N818 — not an error
    """A run ended because of a signal."""

    def __init__(self, signal_number: int) -> None:
        self.signal = signal_number


class CancelOnSignal:
    """While entered, SIGINT and SIGTERM set `received` instead of killing the process; a second one kills it."""

    def __init__(self, words: str = "Cancelling at the next safe place; once more to stop at once.") -> None:
        """
        Args:
            words: said on a terminal at the first signal.
        """
        self._words = words
        self.received = 0
        """The signal's number, 0 before there is one."""
        self._before: dict[int, Any] = {}

    def __enter__(self) -> CancelOnSignal:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        if sys.stderr.isatty():
            print(f"\n{self._words}", file=sys.stderr)
