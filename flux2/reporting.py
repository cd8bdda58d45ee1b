"""A run as its watchers see it: phases with times and peaks, progress, warnings; and whether it is to go on."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from flux2 import events as ev
from flux2.backend import memory
from flux2.errors import GenerationCancelled

_PROGRESS_EVENTS = 100  # at most, per phase


def warn_aloud(event: ev.Event) -> None:
    """The handler of a run that nobody watches: its warnings become Python's, at the line that asked for the run."""
    if not isinstance(event, ev.Warned):
        return
    frame, level = sys._getframe(), 1
    while frame.f_back and frame.f_globals["__name__"].partition(".")[0] == __package__:
        frame, level = frame.f_back, level + 1
    warnings.warn(event.message, stacklevel=level)


@dataclass(slots=True)
class RunReport:
    """Emits a run's events, and remembers what its end will tell."""

    run: str = ""
    on_event: ev.EventHandler = lambda _: None
    should_cancel: Callable[[], bool] = lambda: False
    timings: dict[str, float] = field(default_factory=dict)
    """Seconds by phase."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Peak of MLX's active memory by phase, bytes."""
    active: dict[str, int] = field(default_factory=dict)
    """What was active when each phase began, bytes."""

    def check_cancelled(self) -> None:
        """Raises GenerationCancelled if the user has asked for it; called wherever a run can be left."""
        if self.should_cancel():
            raise GenerationCancelled("The run was cancelled.")

    def warn(self, message: str) -> None:
        self.on_event(ev.Warned(run=self.run, message=message))

    def log(self, message: str) -> None:
        self.on_event(ev.Logged(run=self.run, level="info", message=message))

    @contextmanager
    def phase(self, name: ev.Phase) -> Iterator[None]:
        """One phase, from its own peak to the memory it leaves behind."""
        self.check_cancelled()
        memory.reset_peak()
        started, clock = time.time(), time.perf_counter()
        at_first = memory.read()
        self.active[name] = at_first.active
        self.on_event(ev.PhaseStarted(run=self.run, phase=name, memory=at_first))
        yield
        memory.free_cache()
        seconds, reading = time.perf_counter() - clock, memory.read()
        self.timings[name] = seconds
        self.peaks[name] = reading.peak
        self.on_event(ev.PhaseFinished(run=self.run, phase=name, started=started, seconds=seconds, memory=reading))

    def progress(self, name: ev.Phase, total: int, unit: str) -> Callable[[int], None]:
        """A function to be told of each amount done in this phase; it also hears a cancel."""
        done = told = 0

        def advance(amount: int = 1) -> None:
            nonlocal done, told
            self.check_cancelled()
            done += amount
            if done - told >= total / _PROGRESS_EVENTS or done == total:
                told = done
                self.on_event(ev.PhaseProgress(run=self.run, phase=name, done=done, total=total, unit=unit))

        return advance
