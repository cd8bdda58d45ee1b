"""The downloads of a worker: each in a process of its own, watched by a thread here, whoever asked for it.

Its methods may be called from any thread. What happens is told by `DownloadProgress` events; what can't be done is
raised as the sentence that the user reads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from flux2.architecture.catalog import find_card
from flux2.asker import Asker, asked_by
from flux2.backend.awake import kept_awake
from flux2.errors import CheckpointError, Flux2Error, GenerationCancelled, RequestError
from flux2.events import DownloadProgress, EventHandler, Logged
from flux2.humanize import size
from flux2.store.download import DownloadStopped, download
from flux2.store.inventory import deletable, delete_model
from flux2.store.source import repo_to_download

_LOOK_SECONDS = 0.1  # between two looks at whether a run that waits for its model was cancelled


@dataclass(slots=True)
class _Job:
    """One download under way, or at rest until somebody goes on with it or takes it away."""

    repo: str
    progress: DownloadProgress
    thread: threading.Thread | None = None
    """None while it is paused."""
    stop: str = ""
    """"paused" or "cancelled": the state that it is to end in."""
    asked: bool = False
    """Whether somebody wants it besides the run that waits for it."""
    asker: Asker = field(default=None, repr=False)
    """Whoever set it going."""


class Downloads:
    def __init__(self, emit: EventHandler) -> None:
        """
        Args:
            emit: told of every event; must not wait for anybody.
        """
        self._emit = emit
        self._changed = threading.Condition()
        self._jobs: dict[str, _Job] = {}
        self._failures: dict[str, str] = {}

    @property
    def under_way(self) -> int:
        """How many there are that still fetch something."""
        with self._changed:
            return sum(job.thread is not None for job in self._jobs.values())

    def start(self, model: str, asker: Asker = None) -> None:
        """Begin a download, or go on with one, with the asker's token, proxies and so on (`flux2.asker`).

        Raises:
            RequestError: if there is no such model, or all of it is here.
            CheckpointError: if what is here of it is damaged.
        """
        name = _name(model)
        if not (repo := repo_to_download(name)):
            raise RequestError(f"{name} is here already: there is nothing to download.")
        with self._changed:
            self._start(name, repo, asker).asked = True

    def pause(self, model: str) -> None:
        """Stop a download for now; `start` goes on.

        Raises:
            RequestError: if there is none.
        """
        with self._changed:
            self._stop(_name(model), "paused")

    def cancel(self, model: str) -> None:
        """End a download, also one that is paused. What has come is kept on the disk.

        Raises:
            RequestError: if there is none.
        """
        with self._changed:
            self._stop(_name(model), "cancelled")

    def ensure(self, model: str, should_cancel: Callable[[], bool], asker: Asker = None) -> None:
        """Wait until all of a run's model is here, fetching it first if need be; while it is paused, the run waits.

        Raises:
            CheckpointError: if it can't be had, or its download was cancelled.
            GenerationCancelled: soon after `should_cancel()` has become true.
        """
        name = _name(model)
        try:
            repo = repo_to_download(name)
        except RequestError:  # no such model: the engine says so
            return
        if not repo:
            return
        with self._changed:
            self._start(name, repo, asker)
            while job := self._jobs.get(name):
                if should_cancel():
                    if not job.asked:
                        self._stop(name, "cancelled")
                    raise GenerationCancelled(f"The run was cancelled while {name} was downloaded.")
                self._changed.wait(_LOOK_SECONDS)
            if failure := self._failures.get(name):
                raise CheckpointError(failure)

    def delete(self, model: str) -> int:
        """Remove a model from the disk, which may take a while.

        Returns:
            Bytes that are free again.

        Raises:
            RequestError: if it is not here, or not ours to delete.
            CheckpointError: if it is being downloaded.
        """
        name = _name(model)
        deletable(name)
        with self._changed:
            if name in self._jobs:
                self._stop(name, "cancelled")
            self._changed.wait_for(lambda: name not in self._jobs, timeout=5.0)
        freed = delete_model(name)
        self._emit(DownloadProgress(model=name, state="deleted"))
        self._emit(Logged(level="info", message=f"{name} was deleted; {size(freed)} are free again."))
        return freed

    # --- with the lock held ------------------------------------------------------------------------------------------

    def _start(self, name: str, repo: str, asker: Asker) -> _Job:
        job = self._jobs.setdefault(name, _Job(repo, DownloadProgress(model=name, state="starting")))
        job.stop = ""
        if job.thread is None:
            job.asker = asker
            self._failures.pop(name, None)
            job.thread = threading.Thread(target=self._fetch, args=[name, job], name=f"download {name}", daemon=True)
            job.thread.start()
        return job

    def _stop(self, name: str, state: str) -> None:
        job = self._jobs.get(name)
        if job is None:
            raise RequestError(f"{name} is not being downloaded.")
        job.stop = state
        if job.thread is None:
            self._rest(name, job, state)

    def _rest(self, name: str, job: _Job, state: str, message: str = "") -> None:
        """The job has come to an end, or to a pause."""
        job.thread = None
        if state != "paused":
            del self._jobs[name]
        if state in ("failed", "cancelled"):
            self._failures[name] = message or f"The download of {name} was cancelled; what has come is kept."
        job.progress = replace(job.progress, state=state, time=time.time(), bytes_per_second=0.0, message=message)
        self._emit(job.progress)
        self._changed.notify_all()

    # --- on the job's own thread -------------------------------------------------------------------------------------

    def _fetch(self, name: str, job: _Job) -> None:
        while True:
            state, message = "finished", ""
            try:
                with asked_by(job.asker), kept_awake():
                    download(job.repo, lambda progress: self._tell(job, progress), lambda: bool(job.stop), model=name)
            except DownloadStopped:
                state = "stopped"
            except Flux2Error as error:
                state, message = "failed", str(error)
            except Exception as error:
                state, message = (
                    "failed",
                    f"The download of {name} failed ({type(error).__name__}: {error}); try again.",
                )
            with self._changed:
                if state == "stopped" and not job.stop:  # somebody went on with it before it had stopped
                    continue
                self._rest(name, job, job.stop if state == "stopped" else state, message)
            break
        if state == "finished":
            self._emit(Logged(level="info", message=f"{name} was downloaded: {size(job.progress.total)}, checked."))
        elif message:
            self._emit(Logged(level="error", message=message))

    def _tell(self, job: _Job, progress: DownloadProgress) -> None:
        job.progress = progress
        self._emit(progress)


def _name(model: str) -> str:
    """One name for a model, however it was asked for."""
    card = find_card(model)
    return card.name if card else model
