"""Every request that was accepted waits, runs, is offered, or was ended: whatever happens in whatever order, and
wherever the worker is killed. In process, with the journal on a disk whose every change can be the last one."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from flux2 import events as ev
from flux2.errors import Flux2Error, PictureNotSavedError
from flux2.request import GenerationRequest
from flux2.worker import journal as journal_module
from flux2.worker.journal import Job, Journal
from flux2.worker.protocol import WorkerInfo
from flux2.worker.recovery import recover
from flux2.worker.scheduler import Scheduler
from flux2.worker.tasks import Generate, Task
from flux2.worker.unfinished import kept_step

KEPT = 1
"""Runs told of: a window that is soon outrun."""
MEMORY = ev.Memory(active=1, peak=2, cache=3)
PICTURE, PNG = "picture", b"png"

FAR = (-1000, -1, 1, 1000)
DISCARD = 5
ENDS = ("finished", "cancelled", "failed", "not saved", "interrupted", "failed")


class Killed(BaseException):
    """kill -9."""


class _Disk:
    """Lets so many changes through and none after."""

    left: int | None = None

    @classmethod
    def change(cls) -> None:
        if cls.left is not None:
            if cls.left == 0:
                raise Killed
            cls.left -= 1


def _on_audit(event: str, arguments: tuple[object, ...]) -> None:
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        _Disk.change()


sys.addaudithook(_on_audit)


@contextlib.contextmanager
def killed_after(changes: int | None) -> Iterator[None]:
    _Disk.left = changes
    try:
        yield
    finally:
        _Disk.left = None


class MortalJournal(Journal):
    """Can also be killed before, within and after a line."""

    def append(self, event: ev.Event) -> None:
        try:
            _Disk.change()
        except Killed:
            if self._events is not None and not self._events.closed:
                os.write(self._events.fileno(), b'{"event":"RunFin')
            raise
        super().append(event)


class Worker:
    """What may happen to a worker. Each request has a prompt of its own, by which it is told apart."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="flux2-"))
        self.open: set[str] = set()
        self.perhaps: set[str] = set()
        """Open or ended: the worker was killed while it saw to that."""
        self.kept: dict[str, int | str] = {}
        """What there is of the open ones already: the last kept step, or the finished PICTURE."""
        self.count = 0
        self.was_killed = False
        self.kept_step = 0
        self._begin_anew(None)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    # --- machinery ---------------------------------------------------------------------------------------------------

    def _begin_anew(self, killed: int | None) -> None:
        """A new worker, which may be killed while it recovers; the one after it is not."""
        for changes in (killed, None):
            self.tasks: list[Task] = []
            self.journal = MortalJournal(self.folder)
            self.scheduler = Scheduler(
                WorkerInfo(pid=1, version="", started=0.0, log=""),
                self.journal,
                give=self.tasks.append,
                publish=lambda _: None,
                idle_timeout=1e9,
            )
            with contextlib.suppress(Killed), killed_after(changes):
                self.scheduler.recovered(recover(self.journal, KEPT))
                break
        found = set(self._open_now())
        self.open = (self.open - self.perhaps) | (self.perhaps & found)
        self.perhaps = set()
        for prompt in self.kept:
            if self._kept_now(prompt) == PICTURE:  # the worker may have been killed after it had kept that
                self.kept[prompt] = PICTURE

    def _open_now(self) -> list[str]:
        shown = self.scheduler.snapshot()
        items = [item["request"]["prompt"] for item in shown.queue]
        if self.running is None and shown.queue and shown.queue[0]["state"] == "running":
            items.pop(0)  # it has ended, and the main thread has not said so yet
        return [*items, *(item["request"]["prompt"] for item in shown.unfinished)]

    def _kept_now(self, prompt: str) -> int | str | None:
        """The step from which the request would go on, or PICTURE."""
        for item in self.scheduler.snapshot().unfinished:
            if item["request"]["prompt"] == prompt:
                run = str(item["id"])
                if item["picture"]:
                    return PICTURE if self.journal.kept_picture(run) == PNG else None
                step = kept_step(self.journal.state_file(run))
                return step if step == item["step"] else None
        jobs = [(job, job.resumes) for job in self.scheduler._waiting]
        if job := self.running:
            jobs.append((job, job.run))
        runs = [run for job, run in jobs if job.request.prompt == prompt]
        return kept_step(self.journal.state_file(runs[0])) if runs else None

    def _do(self, killed: int | None, action: Callable[[], object], perhaps: Iterable[str] = ()) -> None:
        """Let something happen; `perhaps` are the prompts that it opens or ends."""
        try:
            with killed_after(killed), contextlib.suppress(Flux2Error):
                action()
        except Killed:
            self.was_killed = True
            self.journal.close()
            self.perhaps |= {*perhaps}
            self._begin_anew(None if killed is None else killed * 7 % 15)

    @property
    def running(self) -> Job | None:
        task = self.scheduler.task
        return task.job if isinstance(task, Generate) and not self.scheduler._ended else None

    def _waiting(self) -> list[tuple[str, str]]:
        return [
            (str(item["id"]), item["request"]["prompt"])
            for item in self.scheduler.snapshot().queue
            if item["state"] == "queued"
        ]

    def _new_prompt(self) -> str:
        self.count += 1
        return f"p{self.count}"

    # --- what happens ------------------------------------------------------------------------------------------------

    def enqueue(self, killed: int | None, _: int) -> None:
        prompt = self._new_prompt()

        def ask() -> None:
            self.scheduler.enqueue(GenerationRequest(prompt=prompt, seed=1, steps=4))
            self.open.add(prompt)

        self._do(killed, ask, [prompt])

    def move(self, killed: int | None, place: int) -> None:
        if waiting := self._waiting():
            self._do(killed, lambda: self.scheduler.move(waiting[place % len(waiting)][0], FAR[place % 4]))

    def remove(self, killed: int | None, place: int) -> None:
        if not (waiting := self._waiting()):
            return
        run, prompt = waiting[place % len(waiting)]
        taken_up = any(job.run == run and job.resumes for job in self.scheduler._waiting)

        def remove() -> None:
            self.scheduler.remove(run)
            if not taken_up:  # which is offered again
                self.open.discard(prompt)

        self._do(killed, remove, [] if taken_up else [prompt])

    def replace(self, killed: int | None, place: int) -> None:
        if not (jobs := list(self.scheduler._waiting)):
            return
        job, new = jobs[place % len(jobs)], self._new_prompt()
        gone = set() if job.resumes else {job.request.prompt}  # what was taken up is offered again

        def replace() -> None:
            self.scheduler.replace(job.run, GenerationRequest(prompt=new, seed=1, steps=4))
            self.open = self.open - gone | {new}

        self._do(killed, replace, [*gone, new])
        assert (job.request.prompt in self.open) != (new in self.open) or job.resumes

    def hold(self, killed: int | None, place: int) -> None:
        self._do(killed, lambda: self.scheduler.hold(place < 3))

    def main_thread_is_free(self, killed: int | None, _: int) -> None:
        if self.running:
            return
        self._do(killed, lambda: self.scheduler.main_is_free("pocket"))
        if job := self.running:
            self.kept_step = int(self.kept.get(job.request.prompt, 0))
            started = ev.RunStarted(run=job.run, request=job.request.to_dict(), phases=("denoise",))
            self._do(None, lambda: self.scheduler.take(started))

    def step(self, killed: int | None, place: int) -> None:
        if not (job := self.running):
            return
        if place % 2:
            self.kept_step += 1
            content = save({"latents": np.zeros(1, np.float32)}, {"step": str(self.kept_step)})
            self.journal.state_file(job.run).write_bytes(content)
            self.kept[job.request.prompt] = self.kept_step
        done = ev.StepFinished(run=job.run, step=1, steps=4, sigma=1.0, seconds=0.1, memory=MEMORY)
        self._do(killed, lambda: self.scheduler.take(done))

    def end(self, killed: int | None, place: int) -> None:
        if not (job := self.running):
            return
        how = ENDS[place % len(ENDS)]
        run, prompt = job.run, job.request.prompt
        offered = how in ("not saved", "interrupted") or (how == "failed" and self.journal.state_file(run).exists())

        def end() -> None:
            if how == "finished":
                self.scheduler.take(ev.RunFinished(run=run, path="x.png", seed=1, seconds=1, peaks={}, timings={}))
            elif how == "cancelled":
                self.scheduler.take(ev.RunCancelled(run=run))
            elif how == "interrupted":
                self.scheduler._interruption = "The worker was stopped."
                self.scheduler.take(ev.RunCancelled(run=run))
            else:
                if how == "not saved":
                    self.scheduler.keep_picture(run, PictureNotSavedError("full", PNG, Path("/x.png")))
                self.scheduler.take(ev.RunFailed(run=run, message="!"))
            if how == "not saved":
                self.kept[prompt] = PICTURE
            if not offered:
                self.open.discard(prompt)

        self._do(killed, end, [] if offered else [prompt])

    def unfinished(self, killed: int | None, place: int) -> None:
        if not (left := self.scheduler.snapshot().unfinished):
            return
        item = left[place % len(left)]
        run, prompt = str(item["id"]), item["request"]["prompt"]
        how = "saved" if item["picture"] else "discard" if place == DISCARD else "resume"

        def act() -> None:
            if how == "resume":
                self.scheduler.resume(run)
                return
            if how == "discard":
                self.scheduler.discard(run)
            else:
                self.scheduler.saved(ev.RunFinished(run=run, path="x", seed=1, seconds=1, peaks={}, timings={}))
            self.open.discard(prompt)

        self._do(killed, act, [] if how == "resume" else [prompt])

    def killed_between(self, killed: int | None, _: int) -> None:
        self.journal.close()
        self._begin_anew(killed)

    # --- what must hold ----------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Each open request is there, once, with what was kept of it; none that has ended is."""
        assert Counter(self._open_now()) == Counter(self.open)
        self.kept = {prompt: kept for prompt, kept in self.kept.items() if prompt in self.open}
        assert {prompt: self._kept_now(prompt) for prompt in self.kept} == self.kept


Story = list[tuple[str, int | None, int]]
"""What happens, after how many changes of the disk the worker is killed, and to which of several things."""
OPERATIONS = {
    "enqueue": 4,
    "move": 3,
    "remove": 1,
    "replace": 1,
    "hold": 1,
    "main_thread_is_free": 8,
    "step": 3,
    "end": 4,
    "unfinished": 3,
    "killed_between": 2,
}
"""What may happen, and how often."""
STORIES = st.lists(
    st.tuples(
        st.sampled_from([name for name, weight in OPERATIONS.items() for _ in range(weight)]),
        st.sampled_from([None] * 18 + [*range(18), *range(6)]),
        st.integers(0, 5),
    ),
    min_size=60,
    max_size=120,
)


@pytest.fixture(scope="module", autouse=True)
def _quick_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)  # a process is killed here, not the machine
        patch.setattr(journal_module, "KEEP_RUNS", 2)
        yield


def told(story: Story) -> bool:
    """Whether the worker was killed in it."""
    worker = Worker()
    try:
        for operation, killed, place in story:
            getattr(worker, operation)(killed, place)
            worker.check()
        return worker.was_killed
    finally:
        worker.close()


def fails(story: Story) -> bool:
    try:
        told(story)
    except AssertionError:
        return True
    return False


def shortened(story: Story) -> Story:
    """The story without what its failure does not need; Hypothesis takes minutes for that."""
    length = len(story) // 2
    while length:
        for begin in range(len(story) - length, -1, -length):
            if fails(shorter := story[:begin] + story[begin + length :]):
                story = shorter
        length //= 2
    return story


ENDED = {how: place for place, how in enumerate(ENDS)}
FIRST_OF_3_TO_THE_END = 3
LET_GO = 3
SHORT_STORIES = {
    "broken off and taken up": [
        *(("enqueue", 0), ("main_thread_is_free", 0), ("step", 1), ("end", ENDED["failed"]), ("unfinished", 0)),
        *(("main_thread_is_free", 0), ("step", 1), ("end", ENDED["interrupted"]), ("unfinished", DISCARD)),
    ],
    "overtaken": [
        *([("enqueue", 0)] * 3 + [("move", FIRST_OF_3_TO_THE_END)]),
        *[("main_thread_is_free", 0), ("end", ENDED["finished"])] * 2,
        *(("main_thread_is_free", 0), ("step", 1), ("end", ENDED["cancelled"]), ("killed_between", 0)),
    ],
    "another in its place": [
        *(("enqueue", 0), ("main_thread_is_free", 0), ("step", 1), ("end", ENDED["failed"]), ("unfinished", 0)),
        *(("replace", 0), ("main_thread_is_free", 0), ("unfinished", 0), ("remove", 0), ("end", ENDED["finished"])),
    ],
    "not saved": [
        *(("enqueue", 0), ("enqueue", 0), ("hold", 0), ("remove", 1), ("hold", LET_GO), ("main_thread_is_free", 0)),
        *(("step", 1), ("end", ENDED["not saved"]), ("killed_between", 0), ("unfinished", 0)),
    ],
}


@pytest.mark.parametrize("name", SHORT_STORIES)
def test_nothing_is_lost_at_whichever_change_it_is_killed(name: str) -> None:
    for place in range(len(SHORT_STORIES[name])):
        for killed in itertools.count():
            story = [(what, killed if at == place else None, to) for at, (what, to) in enumerate(SHORT_STORIES[name])]
            if not told(story):
                break  # the last change has been tried


@settings(
    max_examples=int(os.environ.get("FLUX2_FUZZ_EXAMPLES", "20")),
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    derandomize="FLUX2_FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[*HealthCheck],
)
@given(STORIES)
def test_nothing_is_lost_whatever_happens(story: Story) -> None:
    if fails(story):
        story = shortened(story)
        print(*story, sep="\n")
        told(story)
