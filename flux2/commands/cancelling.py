"""Ctrl-C, SIGTERM and SIGHUP: the first asks a run to stop at its next safe place, the second unwinds at once.

Within `heeding_signals` each becomes `Cancelled`, wherever the program is: no signal ends the process before what is
half done is cleared away, and none disturbs the clearing.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 5.0
"""Seconds that unwinding may take: MLX may be deep in a computation, where no Python runs."""
_SHOW_CURSOR = "\x1b[?25h"


class Cancelled(BaseException):
    """A command ended because of a signal; no error, and not for those who handle whatever goes wrong."""

    def __init__(self, signal_number: int) -> None:
        self.signal = signal_number


class _Heeded:
    """What has come so far, and what the next signal does."""

    def __init__(self) -> None:
        self.received = 0
        """The first signal's number, 0 before there is one."""
        self.words: str | None = None
        """Said at a first signal that only asks; None where the first one unwinds, too."""
        self.over = False
        """Whether nothing is left that could be cancelled: it is being unwound, or done."""

    def on_signal(self, number: int, _frame: FrameType | None) -> None:
        first, self.received = not self.received, self.received or number
        if self.over:
            return
        if first and self.words is not None:
            if sys.stderr.isatty():
                print(f"\n{self.words}", file=sys.stderr)
            return
        self.over = True
        raise Cancelled(self.received)


_heeded = _Heeded()
"""The one handler of this process, as its signals are the process's."""


@contextlib.contextmanager
def heeding_signals() -> Iterator[None]:
    """Turn signals into `Cancelled`; one that the shell has told this process to ignore stays ignored."""
    global _heeded
    _heeded = _Heeded()
    if threading.current_thread() is not threading.main_thread():  # which alone hears signals
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    heeded = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    try:
        with _ended_though_deaf():
            for number in heeded:
                signal.signal(number, _heeded.on_signal)
            yield
    finally:
        for number in heeded:  # after one the process is about to end, and nothing is to disturb that
            signal.signal(number, signal.SIG_IGN if _heeded.received else before[number])


@contextlib.contextmanager
def _ended_though_deaf() -> Iterator[None]:
    """Let a thread hear of signals at once, and end the process where the main thread does not, some time after two."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    watch = threading.Thread(target=_end_though_deaf, args=[reader], daemon=True)
    watch.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(writer)  # which ends the thread
        watch.join(1.0)


def _end_though_deaf(reader: int) -> None:
    count = 0
    while count < 2:
        heard = os.read(reader, 16)
        if not heard:
            os.close(reader)
            return
        count += sum(number in _SIGNALS for number in heard)
        first = next((number for number in heard if number in _SIGNALS), signal.SIGINT)
    while select.select([reader], [], [], _PATIENCE)[0]:
        if not os.read(reader, 16):
            os.close(reader)
            return
    if os.isatty(2):
        os.write(2, _SHOW_CURSOR.encode())
    os._exit(128 + (_heeded.received or first))


class CancelOnSignal:
    """While entered, a first signal is only noted in `received`, for a run to stop by itself at its next safe place.

    Once it is left nothing can be cancelled any more: what was asked for is there, or was given up.
    """

    def __init__(self, words: str = "Cancelling at the next safe place; once more to stop at once.") -> None:
        """
        Args:
            words: said on a terminal at the first signal.
        """
        self._words = words

    @property
    def received(self) -> int:
        """The signal's number, 0 before there is one."""
        return _heeded.received

    def __enter__(self) -> CancelOnSignal:
        _heeded.words = self._words
        return self

    def __exit__(self, *_: object) -> None:
        _heeded.words, _heeded.over = None, True
