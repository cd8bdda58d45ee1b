"""The worker's memory on disk: a folder per run, and the queue.

    state folder/
      queue.json              what waits, the running request first
      runs/<run>/request.json what was asked
                 events.jsonl what happened, one event per line, written as it happens
                 preview.png  the last preview

A run id begins with its time, so that folders sort by age. What is damaged is passed over, with a note.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
from collections import deque
from dataclasses import dataclass, field, replace
from io import BufferedWriter
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.atomic import write_atomically
from flux2.errors import RequestError
from flux2.request import GenerationRequest
from flux2.worker.history import ENDINGS, RunHistory

KEEP_RUNS = 200
KEEP_BYTES = 64 * 1024 * 1024
"""Older runs beyond either are removed from the journal; their pictures are not touched."""

MAX_RUN_BYTES = 16 * 1024 * 1024
"""A run's events.jsonl takes no more memory samples beyond this: eighteen hours of them."""

_SAMPLE_LINE = b'{"event":"MemorySampled"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A request and the id of the run that it becomes."""

    run: str
    request: GenerationRequest


@dataclass(slots=True)
class Recovered:
    """What an earlier worker left."""

    queue: list[Job] = field(default_factory=list)
    held: bool = False
    """Whether the queue was being kept from going on."""
    runs: deque[RunHistory] = field(default_factory=deque)
    """The last runs, oldest first, each with an ending."""
    notes: list[str] = field(default_factory=list)
    """Sentences about what was damaged or interrupted."""


def new_run_id() -> str:
    """`20261123-020036-1f2e3d`: sorts by time, is a file name."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"


class Journal:
    """Written by one thread of one worker. Every method may raise OSError, for a disk may be full."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = folder / "runs"
        self._queue = folder / "queue.json"
        self._run = ""
        self._events: BufferedWriter | None = None

    # --- a run -------------------------------------------------------------------------------------------------------

    def begin(self, job: Job) -> None:
        """Open the run's folder."""
        self.close()
        self._runs.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = self._runs / job.run
        folder.mkdir(exist_ok=True)
        write_atomically(folder / "request.json", _dump(job.request.to_dict()), durable=True)
        self._run, self._events = job.run, (folder / "events.jsonl").open("ab")

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
            self.prune()

    def close(self) -> None:
        if self._events is not None:
            with contextlib.suppress(OSError):
                self._events.close()
        self._events = None

    def prune(self) -> None:
        """Remove the oldest runs beyond `KEEP_RUNS` and `KEEP_BYTES`."""
        room = KEEP_BYTES
        for number, folder in enumerate(reversed(self._run_folders())):
            room -= sum(file.stat().st_size for file in folder.iterdir())
            if number and (number >= KEEP_RUNS or room < 0):
                shutil.rmtree(folder, ignore_errors=True)

    # --- the queue ---------------------------------------------------------------------------------------------------

    def save_queue(self, running: Job | None, waiting: list[Job], *, held: bool = False) -> None:
        jobs = [(job, "queued") for job in waiting]
        if running is not None:
            jobs.insert(0, (running, "running"))
        items = [{"id": job.run, "state": state, "request": job.request.to_dict()} for job, state in jobs]
        self._folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self._queue, _dump({"items": items, "held": held}), durable=True)

    # --- after a death -----------------------------------------------------------------------------------------------

    def recover(self, count: int) -> Recovered:
        """Read the queue and the last `count` runs; a run without an ending gets one, on disk too."""
        found = Recovered()
        self._read_queue(found)
        folders = self._run_folders()[-count:]
        for folder in folders:
            history = self._read_run(folder, found.notes, samples=folder == folders[-1])
            if not history.ended:
                history.add(_interrupted(history))
                found.notes.append(f"Run {folder.name} was interrupted.")
                with contextlib.suppress(OSError), (folder / "events.jsonl").open("ab") as file:
                    # A line that was cut off must not swallow this one.
                    file.write(b"\n" + _dump(ev.to_wire(history.events[-1])[0]) + b"\n")
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
            aside = self._queue.with_suffix(f".damaged-{int(time.time())}.json")
            with contextlib.suppress(OSError):
                self._queue.replace(aside)
            found.notes.append(f"The saved queue can't be read ({error}); it was put aside as {aside.name}.")
            return
        for item in items:
            try:
                if item["state"] == "queued":
                    request = GenerationRequest.from_dict(item["request"]).validated()
                    found.queue.append(Job(run=str(item["id"]), request=request))
            except (RequestError, LookupError, TypeError, AttributeError) as error:
                found.notes.append(f"A request of the saved queue can't be read and was left out ({error}).")

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
    message = f"The run was interrupted{where}: the worker's process died. Its request can be run again."
    return ev.RunFailed(run=history.run, time=last_time, message=message)


def _dump(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode("ascii")
