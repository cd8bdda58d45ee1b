"""Time that stands still while something is done and jumps while nothing is: hours of a screen's life in seconds.

What the program gives to threads is done in between, in the one thread that there is, after a while of the loop's
choice: so it interleaves with keys and news as it would on a slow disk, yet the same in every run and on every machine.
"""

from __future__ import annotations

import asyncio
import random
import selectors
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any
from unittest.mock import patch

SLOWEST_THREAD = 0.4
"""Seconds that something given to a thread may take."""
_CLOCKS = (
    "time.monotonic",
    "textual._wait.monotonic",
    "textual._time.get_time",
    "textual._parser.get_time",
    "textual.widget.monotonic",
    "textual.command.monotonic",
)
"""Whoever reads the time for more than a measurement of its own."""


class HungError(KeyboardInterrupt):
    """The program computes without end. A KeyboardInterrupt, since asyncio lets nothing else through."""


class StandstillError(Exception):
    """Nothing is left that could ever happen, and somebody waits."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nobody: where nothing is ready, the time of the next timer has come."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise StandstillError("nothing is left to happen")
            self.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, chance: random.Random | None = None) -> None:
        """
        Args:
            chance: chooses how long threads take; without it they take no time.
        """
        self._jumping = _JumpingSelector()
        self._chance = chance
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]  # noqa: ARG002
        future = self.create_future()

        def do() -> None:
            if future.cancelled():
                return
            try:
                result = func(*args)
            except Exception as error:
                future.set_exception(error)
            else:
                future.set_result(result)

        self.call_later(self._chance.choice((0.0, 0.02, SLOWEST_THREAD)) if self._chance else 0.0, do)
        return future


@contextmanager
def virtual_time() -> Iterator[None]:
    """Every clock that the screen goes by shows the time of the virtual loop that runs."""
    with ExitStack() as patches:
        for name in _CLOCKS:
            patches.enter_context(patch(name, _now))
        patches.enter_context(patch("textual._wait.process_time", lambda: 0.0))  # the time of the machine
        yield


def _now(real: Callable[[], float] = time.monotonic) -> float:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return real()
    return loop.time() if isinstance(loop, VirtualLoop) else real()


@contextmanager
def at_most(cpu_seconds: float) -> Iterator[Callable[[], None]]:
    """Raises `HungError` where so much processor time passes without the function that this gives being called."""

    def ring(_: int, frame: FrameType | None) -> None:
        where = f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"
        raise HungError(f"{cpu_seconds:.0f} s of computing without an end, at {where}")

    def rewind() -> None:
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)

    before = signal.signal(signal.SIGPROF, ring)
    rewind()
    try:
        yield rewind
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def real_now() -> float:
    """Seconds of a clock that goes on by itself."""
    return time.perf_counter()
