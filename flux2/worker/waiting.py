"""The requests that wait for their turn, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from flux2.asker import Asker
from flux2.errors import RequestError, WorkerError
from flux2.request import GenerationRequest
from flux2.worker.journal import Job, new_run_id

MAX_QUEUED = 200


class WaitingJobs:
    """Each has the id of the run that it will become."""

    def __init__(self) -> None:
        self._jobs: deque[Job] = deque()
        self._last_id = ""

    def __iter__(self) -> Iterator[Job]:
        return iter(self._jobs)

    def __len__(self) -> int:
        return len(self._jobs)

    def items(self, running: Job | None) -> tuple[dict[str, object], ...]:
        """The queue as clients are told of it, `flux2.events.QueueChanged.items`: the running one first."""
        jobs = [(job, "queued") for job in self._jobs]
        if running:
            jobs.insert(0, (running, "running"))
        return tuple({"id": job.run, "state": state, "request": job.request.to_dict()} for job, state in jobs)

    def take_over(self, jobs: Iterable[Job], last_id: str) -> None:
        """Take up what waited for an earlier worker, whose last run had this id: later ones sort after it, whatever the
        clock says."""
        self._jobs.extend(jobs)
        self._last_id = last_id

    def add(self, request: GenerationRequest, asker: Asker = None) -> Job:
        """Put a request at the end.

        Raises:
            RequestError: if it can't be carried out by any model, or the queue is full.
        """
        if len(self._jobs) >= MAX_QUEUED:
            raise RequestError(f"The queue is full ({MAX_QUEUED} requests wait); remove some or wait.")
        job = Job(run=self._new_id(), request=request.validated(), asker=asker)
        self._jobs.append(job)
        return job

    def add_first(self, request: GenerationRequest, resumes: str, asker: Asker = None) -> Job:
        """Put the unfinished run `resumes` before all others.

        Raises:
            WorkerError: if it waits already.
        """
        if resumes in self.taken_up():
            raise WorkerError(f"Run {resumes} is in the queue already.")
        job = Job(run=self._new_id(), request=request, resumes=resumes, asker=asker)
        self._jobs.appendleft(job)
        return job

    def taken_up(self) -> set[str]:
        """The unfinished runs that wait to be gone on with."""
        return {job.resumes for job in self._jobs if job.resumes}

    def pop(self) -> Job:
        """The next one, which waits no longer."""
        return self._jobs.popleft()

    def remove(self, run: str) -> None:
        """Take one out. Raises WorkerError if it does not wait (any longer)."""
        del self._jobs[self._place(run)]

    def replace(self, run: str, request: GenerationRequest, asker: Asker = None) -> None:
        """Put another request in the place of one.

        Raises:
            RequestError: if no model could carry it out.
            WorkerError: if that run does not wait (any longer).
        """
        place = self._place(run)
        self._jobs[place] = Job(run=run, request=request.validated(), asker=asker)

    def move(self, run: str, by: int) -> None:
        """Let one change places with its neighbours, `by` of them; earlier where that is negative.

        Raises:
            WorkerError: if it does not wait (any longer).
        """
        place = self._place(run)
        job = self._jobs[place]
        del self._jobs[place]
        self._jobs.insert(max(0, min(len(self._jobs), place + by)), job)

    def _place(self, run: str) -> int:
        place = next((place for place, job in enumerate(self._jobs) if job.run == run), None)
        if place is None:
            raise WorkerError(f"Run {run} is not waiting in the queue; to end a run under way, cancel it.")
        return place

    def _new_id(self) -> str:
        self._last_id = new_run_id(self._last_id)
        return self._last_id
