"""What the screen knows about the worker: its events folded into the state that the panes show.

Knows nothing of Textual, so that it can be tested, and replayed, without a screen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Flag, auto
from heapq import merge
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flux2 import events as ev
from flux2.architecture.catalog import same_model
from flux2.humanize import gigabytes, seconds
from flux2.progress import RUNNING, RunProgress
from tui.state.memory_history import MemoryHistory
from tui.state.run_times import RunTimes
from tui.state.strange import Strange, strange

if TYPE_CHECKING:
    from flux2.worker.protocol import Snapshot, WorkerInfo

LOG_LINES = 1000


class Topic(Flag):
    """What may have changed; panes redraw only for theirs."""

    RUN = auto()
    MEMORY = auto()
    PREVIEW = auto()
    QUEUE = auto()
    LOG = auto()
    WORKER = auto()
    EVERYTHING = RUN | MEMORY | PREVIEW | QUEUE | LOG | WORKER


@dataclass(frozen=True, slots=True)
class LogLine:
    time: float
    """Seconds since the epoch."""
    level: str
    """"info", "done", "warning" or "error"."""
    message: str


@dataclass(frozen=True, slots=True)
class QueueItem:
    id: str
    running: bool
    request: dict[str, object]


@dataclass(slots=True)
class Session:
    """The worker and its current run, as far as this screen has heard."""

    clock: Callable[[], float] = time.time
    """Seconds since the epoch; the worker's events carry the same machine's."""
    worker: WorkerInfo | None = None
    """Who is attached to; None while nobody is."""
    trouble: str = ""
    """Why the worker can't be reached, "" while all is well."""
    in_the_way: bool = False
    """Whether it can't be for a worker that listens, and that this program can't talk to."""
    retiring: bool = False
    """Whether the worker was asked to make way for a new one once it is idle."""
    run: RunProgress | None = None
    """The run under way, or the last one."""
    memory: ev.Memory | None = None
    """The last reading of the meter, in a run or between runs."""
    history: MemoryHistory = field(default_factory=MemoryHistory)
    preview: ev.Preview | None = None
    """The latest estimate of the running picture."""
    picture: Path | None = None
    """The finished picture of the run shown."""
    queue: tuple[QueueItem, ...] = ()
    held: bool = False
    """Whether those that wait are kept from starting."""
    run_times: RunTimes = field(default_factory=RunTimes)
    """How long runs took, for what the queue will."""
    unfinished: tuple[dict[str, Any], ...] = ()
    """Runs that can be taken up, as in `flux2.events.UnfinishedChanged.items`."""
    downloads: dict[str, ev.DownloadProgress] = field(default_factory=dict)
    """The last that was heard of each model's, by name."""
    log: deque[LogLine] = field(default_factory=lambda: deque(maxlen=LOG_LINES))
    logged: int = 0
    """Lines ever logged, so that a pane knows how many are new."""
    _tails: dict[tuple[object, ...], float] = field(default_factory=dict)
    """Seconds that decode and save took, by model and size: the honest part of the next run's ETA."""

    @property
    def now(self) -> float:
        return self.clock()

    @property
    def memory_limit(self) -> int:
        """Bytes that the machine should not exceed; 0 while unknown."""
        return self.worker.memory_limit if self.worker else 0

    @property
    def strange(self) -> Strange | None:
        """What of the worker is not as a new one's would be; None for nothing."""
        return strange(self.worker) if self.worker is not None else None

    @property
    def running(self) -> bool:
        return self.worker is not None and self.run is not None and self.run.state == RUNNING

    @property
    def under_way(self) -> str:
        """The id of the run that can be cancelled: the running one, or one that waits for its model; "" for none."""
        if self.running and self.run is not None:
            return self.run.run
        return next((item.id for item in self.queue if item.running), "") if self.fetching else ""

    @property
    def fetching(self) -> ev.DownloadProgress | None:
        """The download that the next run waits for."""
        item = next((item for item in self.queue if item.running), None)
        if item is None or self.running:
            return None
        waited = (told for name, told in self.downloads.items() if same_model(name, str(item.request.get("model"))))
        return next((told for told in waited if told.going_on or told.state == "paused"), None)

    @property
    def waiting(self) -> int:
        """Items in the queue behind the running one."""
        return sum(not item.running for item in self.queue)

    def waiting_ends(self) -> list[float | None]:
        """Seconds from now until each waiting item will have ended, in the queue's order; None where nobody knows."""
        run = self.run
        at = run.eta(self.now) if run is not None and self.running else 0.0
        ends: list[float | None] = []
        for item in self.queue:
            if not item.running:
                takes = self.run_times.estimate(item.request, run if self.running else None)
                at = None if at is None or takes is None else at + takes
                ends.append(at)
        return ends

    def attach(self, snapshot: Snapshot) -> Topic:
        """Take up what a worker tells whoever comes: its runs so far, its queue, its log."""
        self.worker, self.trouble, self.in_the_way, self.retiring = snapshot.worker, "", False, False
        self.log.clear()
        self.downloads.clear()
        # Merged, not sorted: within a run the order is right even where the clock was set back meanwhile.
        past = merge(*(record.events for record in snapshot.runs), snapshot.log, key=lambda event: event.time)
        for event in past:
            self.apply(event)
        self.apply(ev.QueueChanged(items=snapshot.queue, held=snapshot.held))
        self.apply(ev.UnfinishedChanged(items=snapshot.unfinished))
        return Topic.EVERYTHING

    def meet(self, worker: WorkerInfo) -> Topic:
        """The worker says more about itself: its device, once MLX is there."""
        self.worker = worker
        return Topic.WORKER | Topic.MEMORY

    def lose(self, trouble: str, *, in_the_way: bool = False) -> Topic:
        """The worker is gone, or was never reached. What was seen of the run stays."""
        self.worker, self.trouble, self.queue, self.unfinished = None, trouble, (), ()
        self.in_the_way, self.retiring = in_the_way, False
        self.downloads.clear()
        self.say("error", trouble)
        return Topic.EVERYTHING

    def retire(self) -> Topic:
        """The worker was asked to make way for a new one once it is idle."""
        self.retiring = True
        return Topic.WORKER

    def apply(self, event: ev.Event) -> Topic:
        """Take one event in and say what it changed."""
        handler = _HANDLERS.get(type(event))
        if isinstance(event, ev.RunStarted) or self._ends_unbegun(event):
            self._begin(event)
        if self.run is not None:
            self.run.apply(event)
        memory = getattr(event, "memory", None)
        if isinstance(memory, ev.Memory):
            self._measure(event, memory)
        return handler(self, event) if handler else Topic(0)

    def say(self, level: str, message: str, at: float | None = None) -> Topic:
        """Write a line into the log, of now or of another time."""
        self.log.append(LogLine(self.now if at is None else at, level, message))
        self.logged += 1
        return Topic.LOG

    def _ends_unbegun(self, event: ev.Event) -> bool:
        """Whether a run ends that never began: what is shown, and what keys act on, is no longer the run before it."""
        known = self.run.run if self.run is not None else ""
        return isinstance(event, ev.RunFailed | ev.RunCancelled) and event.run not in ("", known)

    def _begin(self, event: ev.Event) -> None:
        self.run = RunProgress(run=event.run, tail_seconds=self._tails.get(_tail_key(_asked(event)), 0.0))
        self.history, self.preview, self.picture = MemoryHistory(), None, None

    def _measure(self, event: ev.Event, memory: ev.Memory) -> None:
        self.memory = memory
        run = self.run
        if run is None or event.run != run.run or not run.started:
            return
        # What comes after the end (the worker lets go of its arrays) is no longer the run's.
        if not run.ended or event.time <= run.ended:
            self.history.add(run.since_start(event.time), memory.active, memory.peak)

    def _run_started(self, event: ev.RunStarted) -> Topic:
        request = event.request
        what = f"{request.get('model')} {request.get('quantization')} {request.get('width')}×{request.get('height')}"
        self.say("info", f"Run started: {what}, {request.get('steps')} steps, seed {request.get('seed')}.", event.time)
        return Topic.EVERYTHING

    def _phase_started(self, event: ev.PhaseStarted) -> Topic:
        if self.run is not None and event.run == self.run.run:
            self.history.mark(self.run.since_start(event.time), event.phase)
        return Topic.RUN | Topic.MEMORY

    def _phase_finished(self, event: ev.PhaseFinished) -> Topic:
        peak = gigabytes(event.memory.peak)
        self.say("info", f"{event.phase} done in {seconds(event.seconds)}, peak {peak} GB.", event.time)
        return Topic.RUN | Topic.MEMORY | Topic.LOG

    def _step_finished(self, event: ev.StepFinished) -> Topic:
        active = gigabytes(event.memory.active)
        self.say(
            "info", f"step {event.step} of {event.steps}: {seconds(event.seconds)}, active {active} GB.", event.time
        )
        return Topic.RUN | Topic.MEMORY | Topic.LOG

    def _preview(self, event: ev.Preview) -> Topic:
        if self.run is None or event.run != self.run.run:
            return Topic(0)
        self.preview = event
        return Topic.PREVIEW

    def _finished(self, event: ev.RunFinished) -> Topic:
        if self.run is not None and event.run == self.run.run:
            self.picture = Path(event.path)
            tail = event.timings.get("decode", 0.0) + event.timings.get("save", 0.0)
            self._tails[_tail_key(self.run.request)] = tail
            self.run_times.learn(self.run.request, event.seconds, event.timings.get("denoise", 0.0))
        self.say("done", f"Saved {event.path} after {seconds(event.seconds)}, seed {event.seed}.", event.time)
        return Topic.EVERYTHING

    def _failed(self, event: ev.RunFailed) -> Topic:
        self.say("error", event.message, event.time)
        return Topic.EVERYTHING

    def _cancelled(self, event: ev.RunCancelled) -> Topic:
        self.say("warning", "Run cancelled.", event.time)
        return Topic.EVERYTHING

    def _warned(self, event: ev.Warned) -> Topic:
        self.say("warning", event.message, event.time)
        return Topic.LOG | Topic.RUN

    def _queue_changed(self, event: ev.QueueChanged) -> Topic:
        self.queue = tuple(
            QueueItem(str(item.get("id", "")), item.get("state") == "running", dict(item.get("request", {})))
            for item in event.items
        )
        self.held = event.held
        return Topic.QUEUE | Topic.RUN

    def _unfinished_changed(self, event: ev.UnfinishedChanged) -> Topic:
        self.unfinished = event.items
        return Topic.QUEUE

    def _download(self, event: ev.DownloadProgress) -> Topic:
        self.downloads[event.model] = event
        return Topic.RUN

    def _logged(self, event: ev.Logged) -> Topic:
        return self.say(event.level, event.message, event.time)


def _asked(event: ev.Event) -> dict[str, object]:
    return dict(getattr(event, "request", {}))


def _tail_key(request: dict[str, object]) -> tuple[object, ...]:
    return tuple(request.get(name) for name in ("model", "width", "height"))


_HANDLERS: dict[type[ev.Event], Callable[..., Topic]] = {
    ev.RunStarted: Session._run_started,
    ev.PhaseStarted: Session._phase_started,
    ev.PhaseProgress: lambda *_: Topic.RUN,
    ev.PhaseFinished: Session._phase_finished,
    ev.StepFinished: Session._step_finished,
    ev.Preview: Session._preview,
    ev.Warned: Session._warned,
    ev.RunFinished: Session._finished,
    ev.RunFailed: Session._failed,
    ev.RunCancelled: Session._cancelled,
    ev.MemorySampled: lambda *_: Topic.MEMORY,
    ev.QueueChanged: Session._queue_changed,
    ev.UnfinishedChanged: Session._unfinished_changed,
    ev.DownloadProgress: Session._download,
    ev.Logged: Session._logged,
}
