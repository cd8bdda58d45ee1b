"""What the worker knows and decides: the queue, the run under way, what has happened, when to leave.

It lives on the socket thread and is touched by no other. It gives the main thread one task at a time, takes events in,
and hands every message for the clients to `publish`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from flux2 import events as ev
from flux2.architecture.catalog import same_model
from flux2.asker import Asker
from flux2.errors import PictureNotSavedError, WorkerError
from flux2.request import GenerationRequest
from flux2.worker.history import ENDINGS, RunHistory
from flux2.worker.journal import Journal
from flux2.worker.protocol import Goodbye, Happened, Message, RunRecord, Snapshot, WorkerInfo
from flux2.worker.recovery import Recovered
from flux2.worker.tasks import Generate, Leave, Task, Unload
from flux2.worker.tolerance import Tolerance
from flux2.worker.unfinished import kept_step
from flux2.worker.unfinished_runs import UnfinishedRuns
from flux2.worker.waiting import WaitingJobs

KEPT_RUNS = 10
"""Runs told of in a snapshot."""

_KEPT_LOG = 200
_MAX_DETAILS = 16 * 1024  # characters of a traceback that travel


class Scheduler:
    def __init__(
        self,
        info: WorkerInfo,
        journal: Journal,
        *,
        give: Callable[[Task], None],
        publish: Callable[[Message], None],
        idle_timeout: float,
    ) -> None:
        """
        Args:
            give: puts a task before the main thread.
            publish: sends a message to every client that watches.
            idle_timeout: seconds without a run after which the model is freed, and, with no client, the worker leaves.
        """
        self.info = info
        self._journal = journal
        self._give = give
        self._publish = publish
        self._idle_timeout = idle_timeout
        self._waiting = WaitingJobs()
        self._held = False
        """Whether those that wait are kept from starting."""
        self._task: Task | None = None
        self._main_is_free = False
        self._unload_wanted = False
        self._leaving = ""
        """Why the worker leaves as soon as the main thread is free; "" while it stays."""
        self._leave_when_idle = ""
        """Why it leaves as soon as nothing waits either."""
        self._interruption = ""
        """Why the run under way is being broken off by somebody other than its user; "" where it is not."""
        self._ended = True
        self._phase = ""
        self._runs: deque[RunHistory] = deque(maxlen=KEPT_RUNS)
        self._log: deque[ev.Event] = deque(maxlen=_KEPT_LOG)
        self._downloads: dict[str, ev.DownloadProgress] = {}
        self._write = Tolerance(lambda message: self.log("error", message))
        self.unfinished = UnfinishedRuns(journal, self._write)
        self._told_unfinished: tuple[dict[str, object], ...] = ()
        self._last_run = self._last_use = time.monotonic()

    # --- what clients ask --------------------------------------------------------------------------------------------

    def snapshot(self) -> Snapshot:
        return Snapshot(
            worker=self.info,
            queue=self._items(),
            held=self._held,
            runs=tuple(RunRecord(run=history.run, events=history.events) for history in self._runs),
            log=(*self._log, *self._downloads.values()),
            unfinished=self._offers(),
        )

    def enqueue(self, request: GenerationRequest, asker: Asker = None) -> str:
        """The id of the run that a request will become, which is put at the queue's end.

        Raises:
            RequestError: if it can't be carried out by any model, or the queue is full.
        """
        self._refuse_if_leaving()
        job = self._waiting.add(request, asker)
        self._queue_changed()
        self._next()
        return job.run

    def resume(self, run: str, asker: Asker = None) -> str:
        """The id of the run that becomes of an unfinished one, which is put before all others.

        Raises:
            WorkerError: if there is no such run, or only its picture has to be saved.
        """
        self._refuse_if_leaving()
        left = self.unfinished.find(run)
        if left.picture:
            raise WorkerError(f"The picture of run {run} is finished; save it again, here or elsewhere.")
        job = self._waiting.add_first(left.request, run, asker)
        self._queue_changed()
        self._next()
        return job.run

    def discard(self, run: str) -> None:
        """Forget an unfinished run, with what was kept of it.

        Raises:
            WorkerError: if there is no such run, or it waits to be taken up.
        """
        if run in self._waiting.taken_up():
            raise WorkerError(f"Run {run} is in the queue; remove it there first.")
        self.unfinished.discard(run)
        self._tell_unfinished()

    def remove(self, run: str) -> None:
        """Take a waiting request out of the queue.

        Raises:
            WorkerError: if it does not wait (any longer).
        """
        self._waiting.remove(run)
        self._queue_changed()

    def replace(self, run: str, request: GenerationRequest, asker: Asker = None) -> None:
        """Put another request in the place of a waiting one.

        Raises:
            RequestError: if no model could carry it out.
            WorkerError: if that run does not wait (any longer).
        """
        self._waiting.replace(run, request, asker)
        self._queue_changed()

    def move(self, run: str, by: int) -> None:
        """Let a waiting request change places with its neighbours, `by` of them; earlier where that is negative.

        Raises:
            WorkerError: if it does not wait (any longer).
        """
        self._waiting.move(run, by)
        self._queue_changed()

    def hold(self, on: bool) -> None:
        """Keep what waits from starting, or let it go on; the run under way is not touched."""
        if on != self._held:
            self._held = on
            self._queue_changed()
            self._next()

    def _refuse_if_leaving(self) -> None:
        if self._leaving:
            raise WorkerError(f"The worker is leaving ({self._leaving}); start it again and send the request then.")

    def refuse_if_queued(self, model: str) -> None:
        """
        Raises:
            WorkerError: if a picture is being made with this model, or waits for it.
        """
        running = [self._task.job] if isinstance(self._task, Generate) else []
        if any(same_model(model, job.request.model) for job in (*running, *self._waiting)):
            raise WorkerError(f"There are pictures to make with {model}; cancel them or wait, then delete it.")

    def cancel(self, run: str) -> bool:
        """Ask the run under way to end ("" for whichever it is). False if there is none, or it is another."""
        if not isinstance(self._task, Generate) or self._ended or run not in ("", self._task.job.run):
            return False
        self._task.cancelled.set()
        return True

    def unload(self) -> None:
        """Free the model as soon as the main thread is free."""
        self._unload_wanted = True
        self._next()

    def leave(self, reason: str, *, now: bool, interruption: str = "") -> None:
        """Let the worker end: when nothing runs, waits or is fetched, or, with `now`, once the run under way has been
        broken off. What waits is kept on disk for the next one. An `interruption` ends the run as failed, saying so.
        """
        if now:
            self._leaving, self._interruption = reason, interruption
            self.cancel("")
        else:
            self._leave_when_idle = reason
        self._next()

    # --- what the main thread and the sampler tell -------------------------------------------------------------------

    def recovered(self, found: Recovered) -> None:
        """Take up what an earlier worker left."""
        self._runs.extend(found.runs)
        self._waiting.take_over(found.queue, found.last_id)
        self._held = found.held
        self.unfinished.add(found.unfinished)
        for note in found.notes:
            self.log("warning", note)
        if found.queue:
            self.log("info", f"{len(found.queue)} requests waited in the queue and are taken up.")
        self._told_unfinished = self._offers()
        self._save_queue()

    def update(self, info: WorkerInfo) -> None:
        if info != self.info:
            self.info = info
            self._publish(info)

    def main_is_free(self, model: str) -> None:
        """The main thread has done its task and keeps `model` loaded."""
        if isinstance(self._task, Generate):
            if not self._ended:
                self.take(ev.RunFailed(run=self._task.job.run, message="The engine ended without a picture."))
            self._last_run = self._last_use = time.monotonic()
        was_running, self._task = isinstance(self._task, Generate), None
        self._main_is_free = True
        self.update(replace(self.info, model=model))
        if was_running:
            self._queue_changed()
        self._next()

    def take(self, event: ev.Event) -> None:
        """Take in an event of the run under way, or a log line."""
        if event.run and (not isinstance(self._task, Generate) or event.run != self._task.job.run or self._ended):
            return
        match event:
            case ev.RunCancelled() if self._interruption:
                event = ev.RunFailed(run=event.run, time=event.time, message=self._interruption)
            case ev.RunFailed():
                event = replace(event, details=event.details[-_MAX_DETAILS:])
            case ev.PhaseStarted():
                self._phase = event.phase
            case ev.PhaseFinished():
                self._phase = ""
            case ev.DownloadProgress():
                self._downloads[event.model] = event
        if isinstance(event, ENDINGS):
            self._ended, self._phase = True, ""
        if isinstance(event, ev.RunFailed | ev.RunCancelled) and not self._runs[-1].started:
            assert isinstance(self._task, Generate)
            event = replace(event, request=self._task.job.request.to_dict())
        if event.run:
            self._runs[-1].add(event)
            if isinstance(event, ev.RunFailed):  # offered first: after its ending nobody would look for it again
                self._offer_to_resume(event)
            self._write(lambda: self._journal.append(event))
        elif isinstance(event, ev.Logged):
            self._log.append(event)
        self._publish(Happened(event=event))
        if isinstance(event, ev.DownloadProgress) and not event.going_on:
            self._next()

    def _offer_to_resume(self, event: ev.RunFailed) -> None:
        """A run that was broken off, or failed after some steps, can be taken up."""
        assert isinstance(self._task, Generate)
        step = kept_step(self._task.state)
        has_picture = any(left.run == event.run for left in self.unfinished.runs)
        if (step or self._interruption) and not has_picture:
            self.unfinished.offer(self._task.job, self._runs[-1].events, event.message, step)
            self._tell_unfinished()

    def keep_picture(self, run: str, error: PictureNotSavedError) -> None:
        """Keep a finished picture that could not be saved, for `save_again`."""
        if isinstance(self._task, Generate) and run == self._task.job.run:
            where = self.unfinished.keep_picture(self._task.job, self._runs[-1].events, error)
            self.log("warning", f"The picture is kept {where} until it is saved again, here or elsewhere.")
            self._tell_unfinished()

    def saved(self, event: ev.RunFinished) -> None:
        """The picture of a run that had failed to save it is on the disk now."""
        history = next((history for history in self._runs if history.run == event.run), None)
        if history:
            history.add(event)
        self._write(lambda: self._journal.append_ending(event))
        self.unfinished.discard(event.run)
        self._publish(Happened(event=event))
        self._tell_unfinished()

    def sample(self, memory: ev.Memory, at: float) -> None:
        """Take in a reading of the meter."""
        running = isinstance(self._task, Generate) and not self._ended and self._runs[-1].begun
        run = self._runs[-1].run if running else ""
        self.take(ev.MemorySampled(run=run, time=at, phase=self._phase, memory=memory))

    def log(self, level: str, message: str) -> None:
        self.take(ev.Logged(level=level, message=message))

    # --- deciding ----------------------------------------------------------------------------------------------------

    def last_words(self) -> Goodbye | None:
        """What a client is told that comes while the worker is on its way out."""
        return Goodbye(reason=self._leaving) if isinstance(self._task, Leave) else None

    def client_left(self) -> None:
        self._last_use = time.monotonic()

    def tick(self, clients: int) -> None:
        """Free the model and leave after a long idleness; called now and then."""
        if not self._main_is_free or self._ready or self.unfinished.only_in_memory:
            return
        now = time.monotonic()
        if self.info.model and now - self._last_run > self._idle_timeout:
            self.log("info", "The model was freed: no run for a while.")
            self.unload()
        elif not clients and now - self._last_use > self._idle_timeout:
            self.leave("it was idle and nobody watched", now=True)

    def break_off(self, reason: str) -> None:
        """Write the run under way off: the process is about to end without waiting for the engine."""
        if isinstance(self._task, Generate) and not self._ended:
            self.take(ev.RunCancelled(run=self._task.job.run))
        self._leaving = reason
        self.unfinished.rescue(lambda message: self.log("warning", message))
        self._task = None
        self._save_queue()
        self._publish(Goodbye(reason=reason))

    @property
    def busy(self) -> bool:
        """Whether the sampler's readings are of interest even with no client."""
        return isinstance(self._task, Generate)

    @property
    def task(self) -> Task | None:
        """What the main thread is doing."""
        return self._task

    @property
    def _idle(self) -> bool:
        """Whether nothing is to be done, here or by a download's own process, but to wait."""
        return not self._ready and not any(told.going_on for told in self._downloads.values())

    @property
    def _ready(self) -> bool:
        """Whether something waits that may start."""
        return bool(self._waiting) and not self._held

    def _next(self) -> None:
        if not self._main_is_free:
            return
        if self._leaving or (self._leave_when_idle and self._idle):
            self._leaving = self._leaving or self._leave_when_idle
            self.unfinished.rescue(lambda message: self.log("warning", message))
            self._hand(Leave())
            self._publish(Goodbye(reason=self._leaving))
        elif self._unload_wanted:
            self._unload_wanted = False
            self._hand(Unload())
        elif self._ready:
            job = self._waiting.pop()
            self._ended, self._phase, self._interruption = False, "", ""
            if self._runs:
                self._runs[-1].drop_samples()
            self._runs.append(RunHistory(job.run))
            self._task = Generate(job, self._journal.state_file(job.run))
            self._write.another_run()
            # On disk before it begins: a request that kills the process is not tried again by the next one.
            self._write(lambda: self._journal.begin(job))
            self.unfinished.taken_up(job.resumes)
            self._queue_changed()
            if job.resumes:
                self._write(lambda: self._journal.discard(job.resumes))
            self._hand(self._task)

    def _hand(self, task: Task) -> None:
        self._task, self._main_is_free = task, False
        self._give(task)

    def _items(self) -> tuple[dict[str, object], ...]:
        return self._waiting.items(self._task.job if isinstance(self._task, Generate) else None)

    def _queue_changed(self) -> None:
        self._save_queue()
        self.take(ev.QueueChanged(items=self._items(), held=self._held))
        self._tell_unfinished()

    def _offers(self) -> tuple[dict[str, object], ...]:
        """The unfinished runs but those that wait to be taken up."""
        taken = self._waiting.taken_up()
        return tuple(run.to_dict() for run in self.unfinished.runs if run.run not in taken)

    def _tell_unfinished(self) -> None:
        if (offers := self._offers()) != self._told_unfinished:
            self._told_unfinished = offers
            self.take(ev.UnfinishedChanged(items=offers))

    def _save_queue(self) -> None:
        running = self._task.job if isinstance(self._task, Generate) else None
        self._write(lambda: self._journal.save_queue(running, list(self._waiting), held=self._held))
