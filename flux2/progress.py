"""What a watcher knows of a run, folded from its events: phase, step, pace, remaining time, memory.

The screen, the command line's bar and the worker's snapshot for a late-comer all show this one state.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from flux2 import events as ev

_OUT_OF_ORDER = 2.0
"""Seconds by which events of several threads may come out of order."""
RUNNING, FINISHED, FAILED, CANCELLED = "running", "finished", "failed", "cancelled"


@dataclass(slots=True)
class RunProgress:
    """The state of one run. `apply` its events in order."""

    run: str
    request: dict[str, object] = field(default_factory=dict)
    phases: tuple[str, ...] = ()
    state: str = RUNNING
    started: float = 0.0
    """Seconds since the epoch; 0 before the run began."""
    ended: float = 0.0
    phase: str = ""
    """The phase under way, "" between phases."""
    phase_started: float = 0.0
    """Seconds since the epoch, by the clock as it was when the run began."""
    phase_done: int = 0
    phase_total: int = 0
    """Units (layers, tensors) of the phase in all; 0 while unknown."""
    phase_unit: str = ""
    step: int = 0
    """Steps finished."""
    steps: int = 0
    sigma: float = 1.0
    step_seconds: list[float] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    """Seconds by finished phase."""
    peaks: dict[str, int] = field(default_factory=dict)
    """Bytes, by finished phase."""
    active: dict[str, int] = field(default_factory=dict)
    """Bytes at its end, by finished phase."""
    planned: dict[str, int] = field(default_factory=dict)
    """The peak that each phase is expected to have, bytes; empty where the worker has not said."""
    memory: ev.Memory | None = None
    """The last reading."""
    peak: int = 0
    """The run's highest peak so far, bytes."""
    warnings: list[str] = field(default_factory=list)
    error: str = ""
    path: str = ""
    seed: int | None = None
    tail_seconds: float = 0.0
    """What decode and save are expected to take together: from the last run of that model and size; 0 if unknown."""
    _last_time: float = 0.0
    _set_back: float = 0.0
    """Seconds by which the clock was set back since the run began."""

    def apply(self, event: ev.Event) -> None:
        """Take one event in. Events of other runs are ignored."""
        if event.run != self.run:
            return
        self._watch_clock(event.time)
        memory = getattr(event, "memory", None)
        if isinstance(memory, ev.Memory):
            self.memory = memory
            self.peak = max(self.peak, memory.peak)
        match event:
            case ev.RunStarted():
                self._take_request(event.request)
                self.phases, self.started = event.phases, event.time
                self.step, self.planned = event.first_step, dict(event.planned)
            case ev.PhaseStarted():
                self.phase, self.phase_started = event.phase, event.time + self._set_back
                self.phase_done = self.phase_total = 0
            case ev.PhaseProgress():
                self.phase_done, self.phase_total, self.phase_unit = event.done, event.total, event.unit
            case ev.PhaseFinished():
                self.seconds[event.phase] = event.seconds
                self.peaks[event.phase], self.active[event.phase] = event.memory.peak, event.memory.active
                self.phase = ""
            case ev.StepFinished():
                self.step, self.steps, self.sigma = event.step, event.steps, event.sigma
                self.step_seconds.append(event.seconds)
            case ev.Warned():
                self.warnings.append(event.message)
            case ev.RunFinished():
                self._end(FINISHED, event)
                self.path, self.seed = event.path, event.seed
            case ev.RunFailed():
                self._end(FAILED, event)
                self.error = event.message
                self._take_request(event.request)
            case ev.RunCancelled():
                self._end(CANCELLED, event)
                self._take_request(event.request)

    def _take_request(self, request: Mapping[str, object]) -> None:
        if not request:  # an end that follows a beginning has none of its own
            return
        self.request = dict(request)
        seed, steps = request.get("seed"), request.get("steps")
        self.seed = seed if isinstance(seed, int) else None
        self.steps = steps if isinstance(steps, int) else 0

    def _watch_clock(self, now: float) -> None:
        """Notice that the clock was set back, which no order of threads explains."""
        if not self.ended and (by := self._last_time - now) > _OUT_OF_ORDER:
            self._set_back += by
        self._last_time = now

    def _end(self, state: str, event: ev.Event) -> None:
        """The first end counts: a picture that couldn't be saved may be so hours later."""
        self.state, self.ended, self.phase = state, self.ended or event.time, ""

    @property
    def median_step(self) -> float | None:
        """Seconds per step; the first step is left out once there is a second, for it also warms caches up."""
        if not self.step_seconds:
            return None
        return statistics.median(self.step_seconds[1:] or self.step_seconds)

    @property
    def last_step(self) -> float | None:
        """Seconds of the last step; None before one was seen, as in a run that was taken up after some."""
        return self.step_seconds[-1] if self.step_seconds else None

    def elapsed(self, now: float) -> float:
        """Seconds since the run began, up to `now` or its end."""
        return self.since_start(self.ended or now) if self.started else 0.0

    def since_start(self, moment: float) -> float:
        """Seconds from the run's beginning to a moment after its last event, even where the clock was set back."""
        return max(0.0, moment + self._set_back - self.started)

    def in_phase(self, now: float) -> float:
        """Seconds since the phase began."""
        return max(0.0, now + self._set_back - self.phase_started)

    def eta(self, now: float) -> float | None:
        """Seconds until the picture is there; None while nothing honest can be said.

        That is before the first step is done and, where `tail_seconds` is unknown, from the last one until the decode
        tells how far it is.
        """
        if self.state != RUNNING:
            return 0.0
        median = self.median_step
        if median is None:
            return None
        tail = max(0.0, self.tail_seconds - sum(self.seconds.get(phase, 0.0) for phase in ("decode", "save")))
        if self.phase == "denoise" and self.step < self.steps:
            in_step = self.in_phase(now) - sum(self.step_seconds)
            return (self.steps - self.step) * median - min(max(in_step, 0.0), median) + tail
        if self.phase in ("decode", "save"):
            taken = self.in_phase(now)
            if self.phase_done and taken >= tail:  # the first of its kind, or slower than the last one
                return taken / self.phase_done * (self.phase_total - self.phase_done)
            return max(0.0, tail - taken) if self.tail_seconds else None
        if self.step >= self.steps and not self.tail_seconds:
            return None
        return (self.steps - self.step) * median + tail
