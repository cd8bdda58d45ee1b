"""The worker's memory on disk: a folder per run, and the queue.

    state folder/
      queue.json              what waits, the running request first
      runs/<run>/request.json what was asked
                 events.jsonl what happened, one event per line, written as it happens
                 preview.png  the last preview
                 latents.safetensors   what the run is taken up from (`flux2.resume`)
                 picture.png           the picture, where it could not be saved where it was to go
                 unfinished.json       what is offered to the user of a run that broke off

A run id begins with its time, so that folders sort by age. What is damaged is passed over, with a note.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
import time
from collections import deque
from dataclasses import dataclass, field, replace
from io import BufferedWriter
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.asker import Asker
from flux2.atomic import put_aside, write_atomically
from flux2.errors import RequestError
from flux2.request import GenerationRequest
from flux2.worker.history import ENDINGS, RunHistory
from flux2.worker.unfinished import UnfinishedRun, kept_step, unfinished

KEEP_RUNS = 200
KEEP_BYTES = 64 * 1024 * 1024
"""Older runs beyond either are removed from the journal; their pictures are not touched."""
KEEP_UNFINISHED = 20
"""Runs that can be taken up are kept beyond that, the newest of them; those with a picture always."""

MAX_RUN_BYTES = 16 * 1024 * 1024
"""A run's events.jsonl takes no more memory samples beyond this: eighteen hours of them."""

_RUN_ID = re.compile(r"(\d{8}-\d{6})-([0-9a-f]{6})")
_UNFINISHED, _PICTURE = "unfinished.json", "picture.png"
_SAMPLE_LINE = b'{"event":"MemorySampled"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request and the id of the run that it becomes."""

    run: str
    request: GenerationRequest
    resumes: str = ""
    """The unfinished run that it takes up; "" for none."""
    asker: Asker = field(default=None, repr=False, compare=False)
    """Never written, for it may hold a token; None for a job out of the saved queue."""


@dataclass(slots=True)
class Recovered:
    """What an earlier worker left."""

    queue: list[Job] = field(default_factory=list)
    held: bool = False
    """Whether the queue was being kept from going on."""
    runs: deque[RunHistory] = field(default_factory=deque)
    """The last runs, oldest first, each with an ending."""
    unfinished: list[UnfinishedRun] = field(default_factory=list)
    """What can be offered to the user, the oldest first."""
    last_id: str = ""
    """The newest run's; the next one's sorts behind it."""
    notes: list[str] = field(default_factory=list)
    """Sentences about what was damaged or interrupted."""


def new_run_id(last: str = "") -> str:
    """`20261123-020036-1f2e3d`: sorts by time, is a file name.

    It sorts behind `last`, too, though the clock was set back, the time zone is another, or the second the same.
    """
    moment, suffix = time.strftime("%Y%m%d-%H%M%S"), secrets.randbelow(1 << 23)
    if (known := _RUN_ID.fullmatch(last)) and moment <= known[1]:
        moment, suffix = known[1], int(known[2], 16) + 1
    return f"{moment}-{suffix:06x}"


class Journal:
    """Written by one thread of one worker. Every method may raise OSError, for a disk may be full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = folder / "runs"
        self._queue = folder / "queue.json"
        self._run = ""
        self._events: BufferedWriter | None = None

    # --- a run -------------------------------------------------------------------------------------------------------

    def state_file(self, run: str) -> Path:
        """Where a run keeps what it can be taken up from."""
        return self._runs / run / "latents.safetensors"

    def begin(self, job: Job) -> None:
        """Open the run's folder; what it takes up of an earlier run moves there."""
        self.close()
        self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._runs / job.run
        folder.mkdir(exist_ok=True)
        if job.resumes:
            # First, for a full disk lets files be moved; FileNotFoundError: nothing was kept, so it begins anew.
            with contextlib.suppress(FileNotFoundError):
                self.state_file(job.resumes).replace(self.state_file(job.run))
        write_atomically(folder / "request.json", _dump(job.request.to_dict()), durable=True)
        self._run, self._events = job.run, (folder / "events.jsonl").open("ab")
        if job.resumes:
            self.discard(job.resumes)

    def append(self, event: ev.Event) -> None:
        """Write an event of the run that was begun; others are passed over."""
        if event.run != self._run or self._events is None:
            return
        if isinstance(event, ev.MemorySampled) and self._events.tell() > MAX_RUN_BYTES:
            return
        data, png = ev.to_wire(event)
        if png:
            write_atomically(self._runs / self._run / "preview.png", png)
        self._events.write(_dump(data) + b"\n")
        self._events.flush()
        if isinstance(event, ENDINGS):
            os.fsync(self._events.fileno())
            self.close()
            if not isinstance(event, ev.RunFailed):
                self.state_file(event.run).unlink(missing_ok=True)
            self.prune()

    def close(self) -> None:
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.close()
        self._events = None

    def prune(self) -> None:
        """Remove the oldest runs beyond `KEEP_RUNS` and `KEEP_BYTES`, but none whose picture is not saved."""
        room, unfinished = KEEP_BYTES, 0
        for number, folder in enumerate(reversed(self._run_folders())):
            room -= sum(file.stat().st_size for file in folder.iterdir())
            unfinished += (folder / _UNFINISHED).exists()
            kept = (folder / _PICTURE).exists() or ((folder / _UNFINISHED).exists() and unfinished <= KEEP_UNFINISHED)
            if number and not kept and (number >= KEEP_RUNS or room < 0):
                shutil.rmtree(folder, ignore_errors=True)

    # --- unfinished runs ---------------------------------------------------------------------------------------------

    def offer(self, run: UnfinishedRun) -> None:
        """Remember that this run can be taken up, or its picture be saved."""
        (self._runs / run.run).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._runs / run.run / _UNFINISHED, _dump(run.to_dict()), durable=True)

    def keep_picture(self, run: str, png: bytes) -> None:
        """Keep a picture that could not be saved; the latents are of no use any more."""
        (self._runs / run).mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._runs / run / _PICTURE, png, durable=True)
        self.state_file(run).unlink(missing_ok=True)

    def kept_picture(self, run: str) -> bytes:
        return (self._runs / run / _PICTURE).read_bytes()

    def discard(self, run: str) -> None:
        """Forget that a run can be taken up, and what it would be taken up from."""
        for name in (_UNFINISHED, _PICTURE, self.state_file(run).name):
            (self._runs / run / name).unlink(missing_ok=True)

    def append_saved(self, event: ev.RunFinished) -> None:
        """Write that the picture of a run that had failed to save it is saved now."""
        with (self._runs / event.run / "events.jsonl").open("ab") as file:
            file.write(_dump(ev.to_wire(event)[0]) + b"\n")

    # --- the queue ---------------------------------------------------------------------------------------------------

    def save_queue(self, running: Job | None, waiting: list[Job], *, held: bool = False) -> None:
        jobs = [(job, "queued") for job in waiting]
        if running is not None:
            jobs.insert(0, (running, "running"))
        items = [
            {"id": job.run, "state": state, "request": job.request.to_dict(), "resumes": job.resumes}
            for job, state in jobs
        ]
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._queue, _dump({"items": items, "held": held}), durable=True)

    # --- after a death -----------------------------------------------------------------------------------------------

    def recover(self, count: int) -> Recovered:
        """Read the queue and the last `count` runs; a run without an ending gets one, on disk too."""
        found = Recovered()
        self._read_queue(found)
        try:
            folders = self._run_folders()
        except OSError as error:
            found.notes.append(f"The journal can't be read ({error.strerror or error}); earlier runs are not shown.")
            return found
        for folder in folders:
            self._read_offer(folder, found)
        folders = folders[-count:]
        ids = [*(folder.name for folder in folders), *(job.run for job in found.queue)]
        found.last_id = max(filter(_RUN_ID.fullmatch, ids), default="")
        for folder in folders:
            history = self._read_run(folder, found.notes, samples=folder == folders[-1])
            if not history.ended:
                history.add(_interrupted(history))
                found.notes.append(f"Run {folder.name} was interrupted.")
                with contextlib.suppress(OSError), (folder / "events.jsonl").open("ab") as file:
                    # A line that was cut off must not swallow this one.
                    file.write(b"\n" + _dump(ev.to_wire(history.events[-1])[0]) + b"\n")
                self._offer_interrupted(folder, history, found)
            found.runs.append(history)
        return found

    def _run_folders(self) -> list[Path]:
        if not self._runs.is_dir():
            return []
        return sorted(folder for folder in self._runs.iterdir() if folder.is_dir() and not folder.is_symlink())

    def _read_queue(self, found: Recovered) -> None:
        try:
            saved = json.loads(self._queue.read_bytes())
            items, found.held = saved["items"], saved.get("held") is True
            if not isinstance(items, list):
                raise TypeError("its items are no list")
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
            aside = put_aside(self._queue)
            found.notes.append(f"The saved queue can't be read ({error}); it was put aside as {aside.name}.")
            return
        for item in items:
            try:
                if item["state"] == "queued":
                    request = GenerationRequest.from_dict(item["request"]).validated()
                    found.queue.append(Job(run=_name(item["id"]), request=request, resumes=_name(item.get("resumes"))))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                found.notes.append(f"A request of the saved queue can't be read and was left out ({error}).")

    def _read_offer(self, folder: Path, found: Recovered) -> None:
        path = folder / _UNFINISHED
        try:
            run = UnfinishedRun.from_dict(json.loads(path.read_bytes()))
            if run.run != folder.name:
                raise ValueError("it is another run's")
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
            aside = put_aside(path)
            found.notes.append(f"What was kept of run {folder.name} can't be read ({error}); it is now {aside.name}.")
            return
        found.unfinished.append(run)

    def _offer_interrupted(self, folder: Path, history: RunHistory, found: Recovered) -> None:
        """Offer a run in whose middle the process died: from its last kept step, or from its beginning."""
        try:
            asked = GenerationRequest.from_dict(json.loads((folder / "request.json").read_bytes())).validated()
        except (OSError, ValueError, RecursionError, AttributeError, RequestError) as error:
            found.notes.append(f"What run {folder.name} was to make can't be read ({error}).")
            return
        reason = history.events[-1].message if isinstance(history.events[-1], ev.RunFailed) else ""
        run = unfinished(folder.name, asked, history.events, reason, kept_step(self.state_file(folder.name)))
        found.unfinished.append(run)
        with contextlib.suppress(OSError):
            self.offer(run)

    def _read_run(self, folder: Path, notes: list[str], *, samples: bool) -> RunHistory:
        history, damaged = RunHistory(folder.name), 0
        with contextlib.suppress(OSError):
            for line in (folder / "events.jsonl").read_bytes().splitlines():
                if not line.strip() or (line.startswith(_SAMPLE_LINE) and not samples):
                    continue
                try:
                    event = ev.from_wire(json.loads(line))
                except (ValueError, TypeError, AttributeError, LookupError, RecursionError):
                    damaged += 1
                    continue
                if event.run != folder.name or not isinstance(event.time, float | int):
                    damaged += 1
                    continue
                history.add(self._with_picture(folder, event) if isinstance(event, ev.Preview) else event)
        if damaged:
            lines = "1 damaged line was" if damaged == 1 else f"{damaged} damaged lines were"
            notes.append(f"{lines} skipped in the journal of run {folder.name}.")
        return history

    @staticmethod
    def _with_picture(folder: Path, preview: ev.Preview) -> ev.Preview:
        with contextlib.suppress(OSError):
            return replace(preview, png=(folder / "preview.png").read_bytes())
        return preview


def _interrupted(history: RunHistory) -> ev.RunFailed:
    events = history.events
    last_time = events[-1].time if events else time.time()
    phases = [event.phase for event in events if isinstance(event, ev.PhaseStarted)]
    steps = [event for event in events if isinstance(event, ev.StepFinished)]
    where = f" in phase {phases[-1]}" if phases else ""
    if steps:
        where += f", after step {steps[-1].step} of {steps[-1].steps}"
    message = f"The run was interrupted{where}: the worker's process died. It can be taken up again."
    return ev.RunFailed(run=history.run, time=last_time, message=message)


def _name(value: object) -> str:
    """A run's id out of a file: never a way out of the journal's folder."""
    text = str(value or "")
    if text in (".", "..") or "/" in text or "\0" in text:
        raise ValueError(f"{text[:40]!r} is no run")
    return text


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode("ascii")
