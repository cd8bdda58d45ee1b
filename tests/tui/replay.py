"""A worker that replays events under a clock of its own: tests and pictures of the screen need no MLX."""

from __future__ import annotations

import asyncio
import functools
import io
import math
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from flux2 import events as ev
from flux2.errors import WorkerError, WorkerInTheWay
from flux2.request import GenerationRequest
from flux2.worker import commands as cmd
from flux2.worker.protocol import RunRecord, Snapshot, WorkerInfo

START = 1_800_000_000.0
"""When the replayed run begins; the tests' time zone is UTC, so this reads 08:00:00."""
GB = 1_000_000_000
REQUEST = {
    "prompt": "a fluffy orange tabby cat sitting on a windowsill at sunset",
    "negative_prompt": None,
    "model": "klein-9b",
    "quantization": "int4",
    "width": 1024,
    "height": 1024,
    "steps": 12,
    "guidance": 1.0,
    "seed": 1234,
    "output": None,
}
PLANNED = {"encode": int(8.6 * GB), "load": int(7.4 * GB), "denoise": int(11.3 * GB), "decode": int(13.8 * GB)}
INFO = WorkerInfo(
    pid=4711, version="0.1.0", started=START, log="/tmp/worker.log", ready=True, device="M3 Max", memory_limit=48 * GB
)


_REFUSED = (cmd.Enqueue, cmd.Replace, cmd.StartDownload, cmd.PauseDownload, cmd.CancelDownload, cmd.DeleteModel)
"""What `ReplayBackend.refuses` concerns."""


@dataclass
class Clock:
    """Seconds since the epoch, moved by hand."""

    now: float = START

    def __call__(self) -> float:
        return self.now


@dataclass
class ReplayBackend:
    """Plays `past` to whoever attaches and then whatever is fed; remembers what it was asked for."""

    past: tuple[ev.Event, ...] = ()
    queue: tuple[dict[str, object], ...] = ()
    info: WorkerInfo = INFO
    fails: str = ""
    in_the_way: str = ""
    """What is said of a worker of another protocol."""
    refuses: str = ""
    enqueued: list[GenerationRequest] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    replaced: list[tuple[str, GenerationRequest]] = field(default_factory=list)
    moved: list[tuple[str, int]] = field(default_factory=list)
    held: list[bool] = field(default_factory=list)
    unfinished: tuple[dict[str, object], ...] = ()
    brought_back: list[tuple[str, ...]] = field(default_factory=list)
    """What was asked for unfinished runs."""
    unloads: int = 0
    model_asks: list[tuple[str, str]] = field(default_factory=list)
    """What was asked for models: start, pause, cancel or delete."""
    restarts: int = 0
    retired: int = 0
    closed: bool = False
    started_again: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when another screen has started a worker."""
    _updates: asyncio.Queue[object] = field(default_factory=asyncio.Queue)

    def feed(self, *updates: object) -> None:
        for update in updates:
            self._updates.put_nowait(update)

    def die(self, sentence: str) -> None:
        self._updates.put_nowait(WorkerError(sentence))

    async def connect(self) -> Snapshot:
        if self.in_the_way:
            raise WorkerInTheWay(self.in_the_way)
        if self.fails:
            raise WorkerError(self.fails)
        runs = (RunRecord(run="r1", events=self.past),) if self.past else ()
        return Snapshot(worker=self.info, queue=self.queue, runs=runs, unfinished=self.unfinished)

    async def updates(self) -> AsyncIterator[object]:
        while True:
            update = await self._updates.get()
            if isinstance(update, Exception):
                raise update
            yield update

    async def another(self) -> None:
        await self.started_again.wait()
        self.started_again.clear()

    async def ask(self, command: cmd.Command[Any]) -> Any:
        if self.refuses and isinstance(command, _REFUSED):
            raise WorkerError(self.refuses)
        match command:
            case cmd.Enqueue(request):
                self.enqueued.append(request)
                return cmd.Queued(f"r{len(self.enqueued)}")
            case cmd.Cancel(run):
                self.cancelled.append(run)
                return cmd.Cancelled(True)
            case cmd.Remove(run):
                self.removed.append(run)
            case cmd.Replace(run, request):
                self.replaced.append((run, request))
            case cmd.Move(run, by):
                self.moved.append((run, by))
            case cmd.Hold(on):
                self.held.append(on)
            case cmd.Resume(run):
                self.brought_back.append(("resume", run))
                return cmd.Queued(f"{run}-again")
            case cmd.Discard(run):
                self.brought_back.append(("discard", run))
            case cmd.SaveAgain(run, path):
                self.brought_back.append(("save", run, path))
                return cmd.Saved(path)
            case cmd.Unload():
                self.unloads += 1
            case cmd.CountTokens(model, prompt):
                return cmd.TokenCount(len(prompt.split()), 64) if model == "pocket" else None
            case cmd.StartDownload(model) | cmd.PauseDownload(model) | cmd.CancelDownload(model):
                self.model_asks.append((command.name().removesuffix("_download"), model))
            case cmd.DeleteModel(model):
                self.model_asks.append(("delete", model))
                return cmd.Freed(GB)
            case cmd.Quit():
                self.retired += 1
            case _:
                raise AssertionError(f"the screen never asks {command}")
        return None

    async def restart(self, *, end_other: bool = False) -> Snapshot:
        if self.in_the_way and not end_other:
            raise WorkerInTheWay(self.in_the_way)
        self.restarts += 1
        self.fails = self.in_the_way = ""
        return await self.connect()

    async def close(self) -> None:
        self.closed = True


def mid_run(step: int = 7) -> ReplayBackend:
    """A worker in the middle of its only run."""
    return ReplayBackend(past=tuple(events_of_a_run(step)), queue=queue_of(str(REQUEST["prompt"])))


def left_after(step: int, run: str = "r1", picture: str = "") -> dict[str, object]:
    """An unfinished run."""
    reason = "The worker's process died."
    return {"id": run, "request": REQUEST, "reason": reason, "step": step, "steps": 12, "picture": picture}


def memory(active: float, peak: float = 0.0) -> ev.Memory:
    """A reading; arguments in GB."""
    return ev.Memory(
        active=int(active * GB),
        peak=int(max(active, peak) * GB),
        cache=int(0.8 * GB),
        footprint=int((active + 1.9) * GB),
    )


@functools.cache
def picture_png(step: int, steps: int, size: int = 64) -> bytes:
    """A sun over hills that comes out of a haze, the clearer the later the step."""
    clear = step / steps
    image = Image.new("RGB", (size, size))
    for y in range(size):
        for x in range(size):
            sun = math.hypot(x - size * 0.62, y - size * 0.42) < size * 0.16
            hill = y > size * (0.72 + 0.08 * math.sin(x / size * 7))
            color = (250, 214, 120) if sun else (38, 70, 66) if hill else (226 - y, 120 + y // 3, 110 + y)
            haze = 140 + int(60 * math.sin(x * 1.7 + y * 2.3 + step))
            image.putpixel((x, y), tuple(int(haze + (c - haze) * clear) for c in color))  # type: ignore[arg-type]
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def events_of_a_run(until_step: int = 12, steps: int = 12, step_seconds: float = 6.0) -> list[ev.Event]:
    """Encode, load, denoise up to a step, and where that is the last one, decode and save: readings at 4 Hz."""
    events: list[ev.Event] = []
    story = Story(events)
    story.add(ev.RunStarted, request=REQUEST | {"steps": steps}, phases=ev.PHASES_OF_TEXT, planned=PLANNED)
    story.phase("encode", 6.0, lambda t: 8.2 * min(1, t * 3) + 0.3, end=0.3, unit="layers")
    story.phase("load", 24.0, lambda t: 0.3 + 5.4 * t, end=5.7, peak_above=1.4, unit="tensors")
    story.begin("denoise", 5.7)
    for step in range(1, until_step + 1):
        took = step_seconds * (1 + 0.06 * math.sin(step * 2.1))
        story.sample(took, lambda t: 5.7 + 4.4 * math.sin(math.pi * t) ** 2, peak=11.2)
        sigma = 1 - (step - 1) / steps
        story.add(ev.StepFinished, step=step, steps=steps, sigma=sigma, seconds=took, memory=memory(5.8, 11.2))
        story.add(ev.Preview, step=step, steps=steps, width=64, height=64, png=picture_png(step, steps))
    if until_step == steps:
        story.finish("denoise", memory(5.7, 11.2))
        story.phase("decode", 5.0, lambda t: 5.7 + 9.0 * math.sin(math.pi * t), end=0.4, unit="bands")
        story.phase("save", 0.4, lambda _: 0.4, end=0.4, unit="")
        peaks = {"encode": 8 * GB, "load": 7 * GB, "denoise": 11 * GB, "decode": 14 * GB, "save": GB}
        story.add(
            ev.RunFinished,
            path="/home/me/Pictures/flux2/0041-tabby-cat.png",
            seed=1234,
            seconds=story.now - START,
            peaks=peaks,
            timings={"encode": 6.0, "load": 24.0, "denoise": 72.0, "decode": 5.0, "save": 0.4},
        )
    return events


@dataclass
class Story:
    """Writes events down as time goes on."""

    events: list[ev.Event]
    now: float = START
    run: str = "r1"
    _began: float = START

    def add(self, cls: type[ev.Event], **fields: object) -> None:
        self.events.append(cls(run=self.run, time=self.now, **fields))  # type: ignore[arg-type]

    def begin(self, phase: str, active: float) -> None:
        self._began = self.now
        self.add(ev.PhaseStarted, phase=phase, memory=memory(active))

    def finish(self, phase: str, reading: ev.Memory) -> None:
        self.add(ev.PhaseFinished, phase=phase, started=self._began, seconds=self.now - self._began, memory=reading)

    def sample(self, seconds: float, active: object, peak: float) -> None:
        """Readings at 4 Hz for a while; `active` gives GB for a share of that time."""
        count = max(1, round(seconds * 4))
        for place in range(count):
            self.now += seconds / count
            reading = memory(active((place + 1) / count), peak)  # type: ignore[operator]
            self.add(ev.MemorySampled, phase="", memory=reading)

    def phase(
        self, name: str, seconds: float, active: object, *, end: float, peak_above: float = 0.0, unit: str
    ) -> None:
        self.begin(name, active(0.0))  # type: ignore[operator]
        highest = max(active(place / 40) for place in range(41)) + peak_above  # type: ignore[operator]
        self.sample(seconds, active, highest)
        if unit:
            self.add(ev.PhaseProgress, phase=name, done=40, total=40, unit=unit)
        self.finish(name, memory(end, highest))


def queue_of(*prompts: str) -> tuple[dict[str, object], ...]:
    """The queue of a worker that runs the first prompt while the others wait."""
    return tuple(
        {
            "id": f"r{place + 1}",
            "state": "queued" if place else "running",
            "request": REQUEST | {"prompt": prompt, "seed": 1234 + place},
        }
        for place, prompt in enumerate(prompts)
    )


def last_time(events: Iterable[ev.Event]) -> float:
    return max(event.time for event in events)
