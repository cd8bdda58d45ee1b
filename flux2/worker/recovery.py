"""What an earlier worker left in its journal: the queue, what can be offered, the last runs.

Every run that has no ending broke off, however long ago it was asked for: it is offered, and then it gets one. What is
damaged is passed over, with a note. A recovery that is itself broken off loses nothing, and is done again.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.disk.atomic import put_aside
from flux2.disk.digest import digest
from flux2.disk.private import read_own
from flux2.folders import pictures_dir
from flux2.request import GenerationRequest
from flux2.worker.history import ENDINGS, RunHistory
from flux2.worker.journal import PREVIEW_DIGEST, RUN_ID, Job, Journal
from flux2.worker.unfinished import UnfinishedRun, kept_step, unfinished

_TAIL_BYTES = 256 * 1024
"""Read of a run's end, to see whether it has one: a failure's details may be 16 KiB long, and more in JSON."""
_SAMPLE_LINE = b'{"event":"MemorySampled"'

_UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What reading a damaged file of ours may raise."""


@dataclass(slots=True)
class Recovered:
    """What an earlier worker left."""

    queue: list[Job] = field(default_factory=list)
    held: bool = False
    """Whether the queue was being kept from going on."""
    runs: deque[RunHistory] = field(default_factory=deque)
    """The last runs, oldest first, each with an ending; last those that were broken off."""
    unfinished: list[UnfinishedRun] = field(default_factory=list)
    """What can be offered to the user, the oldest first."""
    last_id: str = ""
    """The newest run's; the next one's sorts behind it."""
    notes: list[str] = field(default_factory=list)
    """Sentences about what was damaged or interrupted."""


def recover(journal: Journal, count: int) -> Recovered:
    """Read the queue, what is offered, and the last `count` runs; a run without an ending gets one, on disk too."""
    found = Recovered()
    listed = _read_queue(journal, found)
    try:
        folders = journal.run_folders()
    except OSError as error:
        found.queue = list(listed.waiting.values())
        found.notes.append(f"The journal can't be read ({error.strerror or error}); earlier runs are not shown.")
        return found
    found.last_id = max(filter(RUN_ID.fullmatch, (*(folder.name for folder in folders), *listed.all)), default="")
    _take_back(journal, listed, folders)
    folders = [folder for folder in folders if folder.name not in listed.waiting]
    offers = {folder.name: offer for folder in folders if (offer := _read_offer(journal, folder.name, found.notes))}
    found.queue = [_as_offered(job, offers) for job in listed.waiting.values()]
    names = {*(folder.name for folder in folders), *listed.all} - listed.waiting.keys()  # a full disk has no folder
    broken_off = [run for run in sorted(names) if not _has_ended(journal, run, listed)]
    shown = [folder.name for folder in folders[-count:] if folder.name not in broken_off] + broken_off
    for run in shown:
        history = _read_run(journal, run, found.notes, samples=run == shown[-1])
        if not history.ended:
            _end(journal, history, listed.all.get(run), offers, found.notes)
        found.runs.append(history)
    found.unfinished = [offers[run] for run in sorted(offers)]
    return found


# --- the queue -------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Listed:
    """What queue.json lists."""

    all: dict[str, Job] = field(default_factory=dict)
    waiting: dict[str, Job] = field(default_factory=dict)
    """Those of them that had not begun, in their order."""


def _read_queue(journal: Journal, found: Recovered) -> _Listed:
    listed = _Listed()
    try:
        saved = json.loads(read_own(journal.queue))
        items, found.held = saved["items"], saved.get("held") is True
        if not isinstance(items, list):
            raise TypeError("its items are no list")
    except _UNREADABLE as error:
        if not isinstance(error, FileNotFoundError):
            aside = put_aside(journal.queue)
            found.notes.append(f"The saved queue can't be read ({error}); it was put aside as {aside.name}.")
        # Its order is lost, and which of them ran; what they ask for is not.
        items = [{"id": run, "state": "queued"} for run in journal.queued_runs()]
    for item in items:
        try:
            job, waits = _read_item(journal, item), item["state"] == "queued"
        except _UNREADABLE as error:
            found.notes.append(f"A request of the saved queue can't be read and was left out ({error}).")
            continue
        listed.all[job.run] = job
        if waits and not _has_begun(journal, job.run):
            listed.waiting[job.run] = job
    return listed


def _read_item(journal: Journal, item: dict[str, Any]) -> Job:
    """A request of the queue; one that is damaged is put aside."""
    run, request = _name(item["id"]), item.get("request")  # which earlier versions wrote into queue.json itself
    path = journal.queued_file(run)
    try:
        asked = GenerationRequest.from_dict(json.loads(read_own(path)) if request is None else request).validated()
    except FileNotFoundError:
        raise
    except _UNREADABLE:
        if request is None:
            put_aside(path)
        raise
    return Job(run=run, request=asked, resumes=_name(item.get("resumes")))


def _take_back(journal: Journal, listed: _Listed, folders: list[Path]) -> None:
    """Undo what a worker did that died just before, or just after, it had a request begin."""
    names = {folder.name for folder in folders}
    for job in listed.all.values():
        if not job.resumes or job.run not in names:
            continue
        with contextlib.suppress(OSError):
            if job.run in listed.waiting:
                if journal.state_file(job.run).exists():
                    journal.state_file(job.run).replace(journal.state_file(job.resumes))
            else:
                journal.discard(job.resumes)
    for run in listed.waiting.keys() & names:
        shutil.rmtree(journal.run_folder(run), ignore_errors=True)


def _as_offered(job: Job, offers: dict[str, UnfinishedRun]) -> Job:
    """The job, which goes on with an earlier run no longer if it got another request just before the worker died."""
    offer = offers.get(job.resumes)
    return replace(job, resumes="") if offer and offer.request != job.request else job


def _has_begun(journal: Journal, run: str) -> bool:
    """Whether anything was said of it: it ran, though a full disk may have kept the queue from saying so."""
    try:
        return journal.events_file(run).stat().st_size > 0
    except OSError:
        return False


# --- runs ------------------------------------------------------------------------------------------------------------


def _has_ended(journal: Journal, run: str, listed: _Listed) -> bool:
    """Whether the last lines hold an ending, or it never began. What the queue lists did: a full disk took no line."""
    try:
        with journal.events_file(run).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return run not in listed.all and not journal.request_file(run).exists()
    except OSError:
        return False
    for line in reversed(lines):
        with contextlib.suppress(*_UNREADABLE):
            if not line.startswith(_SAMPLE_LINE):
                event = ev.from_wire(json.loads(line))
                if isinstance(event, ENDINGS) and event.run == run:
                    return True
    return False


def _end(
    journal: Journal, history: RunHistory, listed: Job | None, offers: dict[str, UnfinishedRun], notes: list[str]
) -> None:
    """Offer a run in whose middle the process died, from its last kept step or from its beginning, and end it."""
    run, ending = history.run, _interrupted(history, with_picture=journal.picture_file(history.run).exists())
    notes.append(f"Run {run} was interrupted.")
    history.add(ending)
    asked = listed.request if listed else None
    try:
        asked = _asked(journal, run)
    except _UNREADABLE as error:
        if asked is None:
            notes.append(f"What run {run} was to make can't be read ({error}).")
    if asked is not None:
        offers[run] = _left_of(journal, asked, history, ending.message, offers.get(run))
    with contextlib.suppress(OSError):  # it is without an ending then, and offered again by the next worker
        if run in offers:
            journal.offer(offers[run])
        journal.append_ending(ending)


def _asked(journal: Journal, run: str) -> GenerationRequest:
    """What a run was to make. Raises one of `_UNREADABLE`."""
    return GenerationRequest.from_kept(json.loads(read_own(journal.request_file(run)))).validated()


def _left_of(
    journal: Journal, asked: GenerationRequest, history: RunHistory, reason: str, known: UnfinishedRun | None
) -> UnfinishedRun:
    """What can be offered of a run: its picture where that was kept, else to go on after the last kept step."""
    left = unfinished(history.run, asked, history.events, reason, kept_step(journal.state_file(history.run)))
    if not journal.picture_file(history.run).exists():
        return left
    where = known.picture if known else left.request.output or f"{pictures_dir()}/"
    return replace(left, picture=where, step=0)


def _interrupted(history: RunHistory, *, with_picture: bool) -> ev.RunFailed:
    events = history.events
    last_time = events[-1].time if events else time.time()
    phases = [event.phase for event in events if isinstance(event, ev.PhaseStarted)]
    steps = [event for event in events if isinstance(event, ev.StepFinished)]
    where = f" in phase {phases[-1]}" if phases else ""
    if steps:
        where += f", after step {steps[-1].step} of {steps[-1].steps}"
    remedy = "Its picture is kept, and can be saved." if with_picture else "It can be taken up again."
    message = f"The run was interrupted{where}: the worker's process died. {remedy}"
    return ev.RunFailed(run=history.run, time=last_time, message=message)


def _read_offer(journal: Journal, run: str, notes: list[str]) -> UnfinishedRun | None:
    path = journal.offer_file(run)
    try:
        offer = UnfinishedRun.from_dict(json.loads(read_own(path)))
        if offer.run != run:
            raise ValueError("it is another run's")
        return offer
    except FileNotFoundError:
        return None
    except _UNREADABLE as error:
        aside = put_aside(path)
        notes.append(f"What was kept of run {run} can't be read ({error}); it is now {aside.name}.")
        return _offer_anew(journal, run)


def _offer_anew(journal: Journal, run: str) -> UnfinishedRun | None:
    """What the journal says that was offered; None if the run has not failed, or nobody knows what it was to make."""
    history = _read_run(journal, run, [], samples=False)
    ending = next((event for event in reversed(history.events) if isinstance(event, ENDINGS)), None)
    if not isinstance(ending, ev.RunFailed):
        return None
    try:
        offer = _left_of(journal, _asked(journal, run), history, ending.message, None)
    except _UNREADABLE:
        return None
    with contextlib.suppress(OSError):
        journal.offer(offer)
    return offer


def _read_run(journal: Journal, run: str, notes: list[str], *, samples: bool) -> RunHistory:
    history, damaged = RunHistory(run), 0
    with contextlib.suppress(OSError):
        for line in read_own(journal.events_file(run)).splitlines():
            if not line.strip() or (line.startswith(_SAMPLE_LINE) and not samples):
                continue
            try:
                data = json.loads(line)
                event = ev.from_wire(data)
                if event.run != run or not isinstance(event.time, float | int):
                    raise ValueError("it is another run's")
            except _UNREADABLE:
                damaged += 1
                continue
            history.add(_with_picture(journal, event, data) if isinstance(event, ev.Preview) else event)
    if damaged:
        lines = "1 damaged line was" if damaged == 1 else f"{damaged} damaged lines were"
        notes.append(f"{lines} skipped in the journal of run {run}.")
    return history


def _with_picture(journal: Journal, preview: ev.Preview, data: dict[str, Any]) -> ev.Preview:
    """The preview with its picture, if that is on the disk and whole; there is one, the last."""
    with contextlib.suppress(OSError):
        png = journal.preview_file(preview.run).read_bytes()
        if digest(png) == data.get(PREVIEW_DIGEST):
            return replace(preview, png=png)
    return preview


def _name(value: object) -> str:
    """A run's id out of a file: never a way out of the journal's folder."""
    text = str(value or "")
    if text in (".", "..") or "/" in text or "\0" in text:
        raise ValueError(f"{text[:40]!r} is no run")
    return text
