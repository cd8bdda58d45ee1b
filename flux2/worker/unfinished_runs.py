"""The unfinished runs that the worker knows of: in the journal, and where that can't be written in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from flux2 import events as ev
from flux2.errors import PictureNotSavedError, WorkerError
from flux2.worker.journal import Job, Journal
from flux2.worker.unfinished import UnfinishedRun, unfinished

_MOST_IN_MEMORY = 8
"""Pictures that are kept while no disk takes them: 48 MiB each at most."""


class UnfinishedRuns:
    """Oldest first. Lives on the socket thread."""

    def __init__(self, journal: Journal, write: Callable[[Callable[[], None]], None]) -> None:
        """`write` calls what writes to the journal and says once that it can't."""
        self._journal, self._write = journal, write
        self._runs: dict[str, UnfinishedRun] = {}
        self._pictures: dict[str, bytes] = {}

    @property
    def runs(self) -> tuple[UnfinishedRun, ...]:
        return tuple(self._runs.values())

    @property
    def only_in_memory(self) -> bool:
        """Whether a picture would be lost if the worker left."""
        return bool(self._pictures)

    def find(self, run: str) -> UnfinishedRun:
        """Raises WorkerError if there is no such run."""
        if run not in self._runs:
            raise WorkerError(f"Run {run[:40]} is not among the unfinished ones (any longer).")
        return self._runs[run]

    def add(self, runs: Iterable[UnfinishedRun]) -> None:
        self._runs |= {run.run: run for run in sorted(runs, key=lambda run: run.run)}

    def offer(self, job: Job, events: tuple[ev.Event, ...], reason: str, step: int) -> None:
        """Remember a run that broke off after this kept step."""
        self._offer(unfinished(job.run, job.request, events, reason, step))

    def keep_picture(self, job: Job, events: tuple[ev.Event, ...], error: PictureNotSavedError) -> str:
        """Keep a finished picture, on the disk if that is possible.

        Returns:
            Where, for people.
        """
        where = "by the worker"
        try:
            self._journal.keep_picture(job.run, error.png)
        except OSError:
            self._pictures[job.run] = error.png
            where = "in the worker's memory alone, as its own folder can't be written either,"
            for oldest in list(self._pictures)[:-_MOST_IN_MEMORY]:
                self.discard(oldest)
        left = unfinished(job.run, job.request, events, str(error), 0)
        self._offer(replace(left, picture=str(error.path)))
        return where

    def picture(self, run: str) -> tuple[bytes, UnfinishedRun]:
        """A kept picture and what is known of its run.

        Raises:
            WorkerError: if there is none.
        """
        left = self.find(run)
        if not left.picture:
            raise WorkerError(f"Run {run} has no picture yet; take it up instead.")
        if run in self._pictures:
            return self._pictures[run], left
        try:
            return self._journal.kept_picture(run), left
        except OSError as error:
            raise WorkerError(f"The kept picture of run {run} can't be read ({error.strerror or error}).") from error

    def rescue(self, say: Callable[[str], None]) -> None:
        """Before the worker leaves: what only memory holds goes to the journal after all, or where there is room."""
        for run, png in self._pictures.items():
            try:
                self._journal.keep_picture(run, png)
                self._journal.offer(self._runs[run])
            except OSError:
                from flux2.pictures.images import rescue

                path = Path(self._runs[run].picture)
                say(str(rescue(PictureNotSavedError("The worker leaves with a picture that is not saved.", png, path))))

    def taken_up(self, run: str) -> None:
        """A new run goes on with what was kept of this one."""
        self._runs.pop(run, None)

    def discard(self, run: str) -> None:
        """Raises WorkerError if there is no such run."""
        self.find(run)
        del self._runs[run]
        self._pictures.pop(run, None)
        self._write(lambda: self._journal.discard(run))

    def _offer(self, left: UnfinishedRun) -> None:
        self._runs[left.run] = left
        self._write(lambda: self._journal.offer(left))
