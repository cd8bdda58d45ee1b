"""The worker's memory on disk: a folder per run, and the queue. `flux2.worker.recovery` reads it back.

    state folder/
      queue.json              what waits, in its order, the running request first
      queue/<run>.json        what each of them asks for, written once
      runs/<run>/request.json what was asked
                 events.jsonl what happened, one event per line, written as it happens
                 preview.png  the last preview; its event holds its digest
                 latents.safetensors   what the run is taken up from (`flux2.denoise.resume`)
                 picture.png           the picture, where it could not be saved where it was to go
                 unfinished.json       what is offered to the user of a run that broke off

A run id begins with the time at which it was asked for, so that folders sort by that. Wherever the process dies between
two writes, every request that was accepted is in the queue, offered, or ended: what takes its place is written first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from dataclasses import dataclass, field
from io import BufferedWriter
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.asker import Asker
from flux2.disk.atomic import write_atomically
from flux2.disk.digest import digest
from flux2.disk.private import make_private
from flux2.request import GenerationRequest
from flux2.worker.history import ENDINGS
from flux2.worker.unfinished import UnfinishedRun

KEEP_RUNS = 200
KEEP_BYTES = 64 * 1024 * 1024
"""Older runs beyond either are removed from the journal; their pictures are not touched. What is offered stays."""

MAX_RUN_BYTES = 16 * 1024 * 1024
"""A run's events.jsonl takes no more memory samples beyond this: eighteen hours of them."""

RUN_ID = re.compile(r"(\d{8}-\d{6})-([0-9a-f]{6})")
PREVIEW_DIGEST = "digest"
"""What the line of a preview says beyond its event: the digest of preview.png."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request and the id of the run that it becomes."""

    run: str
    request: GenerationRequest
    resumes: str = ""
    """The unfinished run that it takes up; "" for none."""
    asker: Asker = field(default=None, repr=False, compare=False)
    """Never written, for it may hold a token; None for a job out of the saved queue."""


def new_run_id(last: str = "") -> str:
    """`20261123-020036-1f2e3d`: sorts by time, is a file name.

    It sorts behind `last`, too, though the clock was set back, the time zone is another, or the second the same.
    """
    moment, suffix = time.strftime("%Y%m%d-%H%M%S"), secrets.randbelow(1 << 23)
    if (known := RUN_ID.fullmatch(last)) and moment <= known[1]:
        moment, suffix = known[1], int(known[2], 16) + 1
    return f"{moment}-{suffix:06x}"


class Journal:
    """Written by one thread of one worker. Every method may raise OSError, for a disk may be full."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.queue = folder / "queue.json"
        self.requests = folder / "queue"
        self._queued: dict[str, GenerationRequest] = {}
        """The requests that lie in `requests` as they are."""
        self._run = ""
        self._events: BufferedWriter | None = None

    # --- where things are --------------------------------------------------------------------------------------------

    def run_folder(self, run: str) -> Path:
        return self.runs / run

    def request_file(self, run: str) -> Path:
        """What a run was asked for, once it has begun."""
        return self.runs / run / "request.json"

    def events_file(self, run: str) -> Path:
        return self.runs / run / "events.jsonl"

    def preview_file(self, run: str) -> Path:
        return self.runs / run / "preview.png"

    def state_file(self, run: str) -> Path:
        """Where a run keeps what it can be taken up from."""
        return self.runs / run / "latents.safetensors"

    def offer_file(self, run: str) -> Path:
        return self.runs / run / "unfinished.json"

    def picture_file(self, run: str) -> Path:
        """Where a picture is kept that could not be saved."""
        return self.runs / run / "picture.png"

    def queued_file(self, run: str) -> Path:
        """What a request asks for that waits, or runs."""
        return self.requests / f"{run}.json"

    def queued_runs(self) -> list[str]:
        """Those whose `queued_file` is there, in the order in which they were asked for; none that was put aside."""
        return sorted(file.stem for file in self.requests.glob("*.json") if "." not in file.stem)

    # --- a run -------------------------------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Open the run's folder; what it takes up of an earlier run moves there. `discard` that one when the queue says
        that this one runs."""
        self.close()
        folder = make_private(self.run_folder(job.run))
        if job.resumes:
            # First, for a full disk lets files be moved; FileNotFoundError: nothing was kept, so it begins anew.
            with contextlib.suppress(FileNotFoundError):
                self.state_file(job.resumes).replace(self.state_file(job.run))
        write_atomically(self.request_file(job.run), dump(job.request.to_dict()))
        self._run, self._events = folder.name, _appending(self.events_file(job.run))

    def append(self, event: ev.Event) -> None:
        """Write an event of the run that was begun; others are passed over. An offer is written before its ending."""
        if event.run != self._run or self._events is None:
            return
        if isinstance(event, ev.MemorySampled) and self._events.tell() > MAX_RUN_BYTES:
            return
        data, png = ev.to_wire(event)
        if png:
            write_atomically(self.preview_file(self._run), png, durable=False)
            data[PREVIEW_DIGEST] = digest(png)
        self._events.write(dump(data) + b"\n")
        self._events.flush()
        if isinstance(event, ENDINGS):
            os.fsync(self._events.fileno())
            self.close()
            if not isinstance(event, ev.RunFailed):
                self.state_file(event.run).unlink(missing_ok=True)
            self.prune()

    def append_ending(self, event: ev.RunFailed | ev.RunFinished) -> None:
        """Write how a run of earlier ended: that it broke off, or that its picture is saved now."""
        with _appending(self.events_file(event.run)) as file:
            # A line that was cut off must not swallow this one.
            file.write(b"\n" + dump(ev.to_wire(event)[0]) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.close()
        self._events = None

    def prune(self) -> None:
        """Remove the oldest runs beyond `KEEP_RUNS` and `KEEP_BYTES`, but none that is offered or can be saved."""
        room = KEEP_BYTES
        for number, folder in enumerate(reversed(self.run_folders())):
            room -= sum(file.stat().st_size for file in folder.iterdir())
            kept = self.offer_file(folder.name).exists() or self.picture_file(folder.name).exists()
            # The one that has just ended stays: until the queue is written, that says it runs.
            if number and folder.name != self._run and not kept and (number >= KEEP_RUNS or room < 0):
                # First, for a run that has a request and no ending would be offered.
                self.request_file(folder.name).unlink(missing_ok=True)
                shutil.rmtree(folder, ignore_errors=True)

    def run_folders(self) -> list[Path]:
        """Folders of all runs, in the order in which they were asked for."""
        if not self.runs.is_dir():
            return []
        return sorted(folder for folder in self.runs.iterdir() if folder.is_dir() and not folder.is_symlink())

    # --- unfinished runs ---------------------------------------------------------------------------------------------

    def offer(self, run: UnfinishedRun) -> None:
        """Remember that this run can be taken up, or its picture be saved."""
        make_private(self.run_folder(run.run))
        write_atomically(self.offer_file(run.run), dump(run.to_dict()))

    def keep_picture(self, run: str, png: bytes) -> None:
        """Keep a picture that could not be saved; the latents are of no use any more."""
        make_private(self.run_folder(run))
        write_atomically(self.picture_file(run), png)
        self.state_file(run).unlink(missing_ok=True)

    def kept_picture(self, run: str) -> bytes:
        return self.picture_file(run).read_bytes()

    def discard(self, run: str) -> None:
        """Forget that a run can be taken up, and what it would be taken up from."""
        for file in (self.offer_file(run), self.picture_file(run), self.state_file(run)):
            file.unlink(missing_ok=True)

    # --- the queue ---------------------------------------------------------------------------------------------------

    def save_queue(self, running: Job | None, waiting: list[Job], *, held: bool = False) -> None:
        """Write what waits: the order each time, a request only when it is new or another one."""
        jobs = [(job, "queued") for job in waiting]
        if running is not None:
            jobs.insert(0, (running, "running"))
        make_private(self.requests)
        for job, _ in jobs:
            if self._queued.get(job.run) != job.request:
                write_atomically(self.queued_file(job.run), dump(job.request.to_dict()))
                self._queued[job.run] = job.request
        items = [{"id": job.run, "state": state, "resumes": job.resumes} for job, state in jobs]
        write_atomically(self.queue, dump({"items": items, "held": held}))
        listed = {job.run for job, _ in jobs}
        for run in self.queued_runs():
            if run not in listed:
                self.queued_file(run).unlink(missing_ok=True)
        self._queued = {run: request for run, request in self._queued.items() if run in listed}


def dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode("ascii")


def _appending(path: Path) -> BufferedWriter:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
