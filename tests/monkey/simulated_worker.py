"""A worker in the screen's own process: it keeps queue and runs as the real one does, and moves when it is told to.

Its prompts are told apart by nothing: whether a run fails, and the worker dies, is an operation like a key.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.errors import WorkerError
from flux2.request import GenerationRequest
from flux2.worker import commands as cmd
from flux2.worker.history import ENDINGS
from flux2.worker.protocol import RunRecord, Snapshot
from tests.monkey.simulated_run import Job, story
from tests.tui.replay import GB, INFO, ReplayBackend, memory

_LONGEST_QUEUE = 12
_DIED = "The worker's process died (signal 9)."
_GONE = "No worker is attached; restart it with f5."
_WARNINGS = ("The prompt is cut [/] after 512 tokens.", "Memory is short: [bold]close something[/bold].", "⚠ " * 40)


@dataclass
class SimulatedWorker(ReplayBackend):
    """What `flux2 worker status` would tell is in `items`, `job` and `offers`."""

    pictures: Path = Path()
    clock: Callable[[], float] = lambda: 0.0
    chance: random.Random = field(default_factory=random.Random)
    alive: bool = True
    full: bool = False
    """Refuses whatever is asked."""
    attached: bool = False
    job: Job | None = None
    waiting: list[Job] = field(default_factory=list)
    on_hold: bool = False
    offers: list[dict[str, Any]] = field(default_factory=list)
    asked: int = 0
    """Commands that have come, refused ones among them."""
    _numbers: int = 0
    begun: bool = False
    """Whether the run under way has said that it has, and not that it is over."""
    told: dict[str, list[ev.Event]] = field(default_factory=dict)
    """Events of each run so far, for whoever comes late."""
    _story: Iterator[list[ev.Event]] | None = None

    # --- what it is, as the status command says ----------------------------------------------------------------------

    def items(self) -> tuple[dict[str, object], ...]:
        """The running request first, then those that wait."""
        jobs = [(job, "running") for job in [self.job] if job] + [(job, "queued") for job in self.waiting]
        return tuple({"id": job.id, "state": state, "request": job.request.to_dict()} for job, state in jobs)

    def begin_with(self, jobs: int) -> None:
        """So many requests of other screens wait, and the first has begun."""
        for number in range(jobs):
            self._queue(GenerationRequest(prompt=f"{number} [fox] in the snow[/]", model="pocket", seed=number))

    # --- what happens to it ------------------------------------------------------------------------------------------

    def go(self, steps: int) -> None:
        """So many events of the run under way, or of the next ones."""
        for _ in range(steps):
            if self.alive and self._story is None:
                self._begin_next()
            self._go_on()

    def _go_on(self) -> None:
        if self._story is None:
            return
        events = next(self._story, None)
        if events is None:
            self._end_of_run()
        else:
            self.begun = not isinstance(events[-1], ENDINGS)
            self._tell(*events)

    def fail(self) -> None:
        if self.alive and self.job is not None:
            self._offer("The file is truncated [/b]; download it again.", self.chance.randint(0, 3))
            self._tell(ev.RunFailed(run=self.job.id, time=self.clock(), message="The file is truncated [/b]."))
            self._end_of_run()

    def fail_early(self) -> None:
        """The next run fails before it begins."""
        if self.alive and self.job is None and self.waiting:
            self.job = self.waiting.pop(0)
            self._queue_changed()
            self.fail()

    def warn(self) -> None:
        run = self.job.id if self.job else ""
        self._tell(ev.Warned(run=run, time=self.clock(), message=self.chance.choice(_WARNINGS)))

    def kill(self) -> None:
        """Its run broke off; what waits is kept."""
        if self.alive:
            self.alive = False
            if self.job is not None:
                self._offer("The worker's process died.", self.chance.randint(0, 3))
                self._tell(ev.RunFailed(run=self.job.id, time=self.clock(), message=_DIED))
            self.job, self._story, self.begun = None, None, False
            self.die(_DIED)

    def come_back(self) -> None:
        """Another screen has started one."""
        if not self.alive:
            self.alive = True
            self.started_again.set()

    def refuse(self) -> None:
        self.full = not self.full

    def download(self) -> None:
        """News of a model's download."""
        state = self.chance.choice(("downloading", "downloading", "paused", "finished", "failed", "waiting"))
        done = self.chance.randint(0, 16)
        said = "The connection dropped [/]." if state == "failed" else ""
        self._tell(
            ev.DownloadProgress(
                time=self.clock(), model="klein-4b", state=state, done=done * GB, total=16 * GB, message=said
            )
        )

    def keep_unsaved(self) -> None:
        """A picture could not be saved."""
        if self.alive:
            request = GenerationRequest(prompt="a fox [/] in the [b]snow[//]", seed=7)
            self._numbers += 1
            lost = {"id": f"u{self._numbers}", "reason": "No space left on [/dev]", "step": 4, "steps": 4}
            self.offers.append(lost | {"request": request.to_dict(), "picture": "/nowhere/a [fox].png"})
            self._tell_offers()

    def set_back(self) -> None:
        """Readings whose clock is behind."""
        run = self.job.id if self.job else ""
        self._tell(ev.MemorySampled(run=run, time=self.clock() - 4000, phase="", memory=memory(3.0)))

    # --- its runs ----------------------------------------------------------------------------------------------------

    def _begin_next(self) -> None:
        if self.waiting and not self.on_hold:
            self.job = self.waiting.pop(0)
            self._queue_changed()
            self._story = story(self.job, self.clock, self.pictures)

    def _end_of_run(self) -> None:
        self.job, self._story, self.begun = None, None, False
        self._queue_changed()

    def _offer(self, reason: str, step: int) -> None:
        assert self.job is not None
        offer = {"id": self.job.id, "reason": reason, "step": step, "steps": 4, "picture": ""}
        self.offers.append(offer | {"request": self.job.request.to_dict()})
        self._tell_offers()

    def _tell(self, *events: ev.Event) -> None:
        for event in events:
            if event.run and not isinstance(event, ev.MemorySampled):
                self.told.setdefault(event.run, []).append(event)
        if self.alive and self.attached:
            self.feed(*events)

    def _tell_offers(self) -> None:
        self._tell(ev.UnfinishedChanged(time=self.clock(), items=tuple(self.offers)))

    def _queue_changed(self) -> None:
        self._tell(ev.QueueChanged(time=self.clock(), items=self.items(), held=self.on_hold))

    # --- what the screen asks of it ----------------------------------------------------------------------------------

    async def connect(self) -> Snapshot:
        self.alive, self.attached = True, True
        while not self._updates.empty():
            self._updates.get_nowait()
        info = replace(INFO, model="pocket bf16")
        runs = tuple(RunRecord(run=run, events=tuple(events)) for run, events in self.told.items())
        return Snapshot(worker=info, queue=self.items(), held=self.on_hold, runs=runs, unfinished=tuple(self.offers))

    async def restart(self, *, end_other: bool = False) -> Snapshot:  # noqa: ARG002
        self.kill()
        await asyncio.sleep(self._latency)
        return await self.connect()

    async def ask(self, command: cmd.Command[Any]) -> Any:
        await self._hear()
        match command:
            case cmd.Enqueue(request):
                if len(self.waiting) >= _LONGEST_QUEUE:
                    raise WorkerError("The queue is full: 12 wait.")
                return cmd.Queued(self._queue(request))
            case cmd.Cancel(run):
                under_way = self.job is not None and self.job.id == run
                if self.job is not None and under_way:
                    self.job.cancelled = True
                return cmd.Cancelled(under_way)
            case cmd.Resume(run):
                offer = self._take_back(run)
                request = GenerationRequest.from_dict(offer["request"])
                return cmd.Queued(self._queue(request, offer["step"], first=True))
            case cmd.Discard(run):
                self._take_back(run)
            case cmd.SaveAgain(run, path):
                self._take_back(run)
                return cmd.Saved(path)
            case cmd.CountTokens(model, prompt):
                return cmd.TokenCount(len(prompt.split()), 64) if model == "pocket" else None
            case cmd.DeleteModel():
                return cmd.Freed(GB)
            case cmd.StartDownload(model):
                self._tell_download(model, "downloading", 0)
            case cmd.PauseDownload(model):
                self._tell_download(model, "paused", GB)
            case cmd.CancelDownload(model):
                self._tell_download(model, "cancelled", GB)
            case _:
                self._change_queue(command)
        return None

    def _change_queue(self, command: cmd.Command[Any]) -> None:
        match command:
            case cmd.Remove(run):
                self.waiting.remove(self._waits(run))
            case cmd.Replace(run, request):
                self._waits(run).request = request
            case cmd.Move(run, by):
                job = self._waits(run)
                place = max(0, min(len(self.waiting) - 1, self.waiting.index(job) + by))
                self.waiting.remove(job)
                self.waiting.insert(place, job)
            case cmd.Hold(on):
                self.on_hold = on
            case _:
                return
        self._queue_changed()

    def _queue(self, request: GenerationRequest, first_step: int = 0, *, first: bool = False) -> str:
        self._numbers += 1
        job = Job(f"m{self._numbers}", request, first_step)
        self.waiting.insert(0 if first else len(self.waiting), job)
        if self.job is None:
            self._begin_next()
        self._queue_changed()
        return job.id

    def _tell_download(self, model: str, state: str, done: int) -> None:
        self._tell(ev.DownloadProgress(time=self.clock(), model=model, state=state, done=done, total=16 * GB))

    def _take_back(self, run: str) -> dict[str, Any]:
        """What is offered of an unfinished run, and is no longer."""
        offer = self._offered(run)
        self.offers.remove(offer)
        self._tell_offers()
        return offer

    async def _hear(self) -> None:
        """What every command goes through: a way, a worker that may be dead, one that may refuse."""
        self.asked += 1
        await asyncio.sleep(self._latency)
        if not self.alive:
            raise WorkerError(_GONE)
        if self.full:
            raise WorkerError("Refused [/]: the disk is full.")

    @property
    def _latency(self) -> float:
        return self.chance.choice((0.0, 0.01, 0.3))

    def _waits(self, run: str) -> Job:
        job = next((job for job in self.waiting if job.id == run), None)
        if job is None:
            raise WorkerError(f"Run {run} does not wait any longer.")
        return job

    def _offered(self, run: str) -> dict[str, Any]:
        offer = next((offer for offer in self.offers if offer["id"] == run), None)
        if offer is None:
            raise WorkerError(f"There is no unfinished run {run}.")
        return offer
