"""A worker's endurance: `python -m tests.soak --images 1000 --cancels 200` prints what a long life leaves behind.

Real worker, real engine, the embedded model. Images are made one after the other; then runs are cancelled at random
moments of all phases. Memory, descriptors, threads and child processes of the worker are read when it is idle, so that
what it keeps between runs counts and what a run uses does not.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from flux2 import events as ev
from flux2.request import GenerationRequest
from flux2.worker.client import WorkerClient, connect_or_start
from flux2.worker.commands import Cancel, Enqueue, Quit, Unload
from flux2.worker.history import ENDINGS

PROMPTS = ("a red fox", "a blue car in the rain", "two cats", "a house by the sea", "a tall green tree")
WARM_UP = 5
"""Runs before the first reading: what is loaded and compiled once has come by then."""
LATEST = 0.06
"""Seconds after a phase's begin within which a run is cancelled, by chance at any moment."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The worker, when it is idle."""

    active: int
    """MLX's live arrays, bytes."""
    cache: int
    """MLX's freed buffers, bytes."""
    footprint: int
    """The process's own memory, bytes."""
    descriptors: int
    threads: int
    children: int
    files: int
    """In its state folder, the journal of past runs left aside, and temporary ones beside the pictures."""


@dataclass(slots=True)
class Report:
    """What a soak came to."""

    endings: Counter[str]
    phases: Counter[str]
    """Cancelled runs by the phase that they were in."""
    first: Reading
    last: Reading
    errors: list[str]
    seconds: float

    @property
    def text(self) -> str:
        lines = [f"{name:<14}{getattr(self.first, name):>14,} -> {getattr(self.last, name):>14,}" for name in _NAMES]
        return "\n".join(
            [
                f"endings       {dict(self.endings)}",
                f"cancelled in  {dict(self.phases)}",
                *lines,
                f"errors        {len(self.errors)} {self.errors[:3]}",
                f"seconds       {self.seconds:.0f}",
            ]
        )


_NAMES = Reading.__slots__


async def soak(folder: Path, images: int, cancels: int, seed: int = 0, *, chatty: bool = False) -> list[Report]:
    """Make `images` pictures, then break `cancels` runs off; a report of each part. Deletes the pictures as it goes."""
    with _home(folder):
        client = await connect_or_start()
        try:
            for number in range(WARM_UP):
                await _run(client, number)
            made = await _part(client, folder, images, None, chatty)
            broken_off = await _part(client, folder, cancels, random.Random(seed), chatty)
        finally:
            await client.ask(Quit(now=True))
            await _gone(client.pid)
    return [made, broken_off]


async def _part(client: WorkerClient, folder: Path, count: int, chance: random.Random | None, chatty: bool) -> Report:
    began = time.monotonic()
    first = await _read(client, folder)
    endings, phases, errors = Counter[str](), Counter[str](), list[str]()
    for number in range(count):
        heard = await _run(client, number, chance)
        ending = heard[-1]
        endings[type(ending).__name__] += 1
        if isinstance(ending, ev.RunFailed):
            errors.append(ending.message)
        if isinstance(ending, ev.RunCancelled):
            phases[next((event.phase for event in reversed(heard) if isinstance(event, ev.PhaseStarted)), "begin")] += 1
        if isinstance(ending, ev.RunFinished):
            Path(ending.path).unlink()
        if chatty and (number + 1) % 50 == 0:
            reading = await _read(client, folder)
            print(f"{number + 1:>6} of {count}: {reading}", flush=True)
    last = await _read(client, folder)
    return Report(endings, phases, first, last, errors, time.monotonic() - began)


async def _run(client: WorkerClient, number: int, chance: random.Random | None = None) -> list[ev.Event]:
    """One run's events. With a chance, cancelled in a phase of its choice; prompt and level are then new ones, so that
    every phase has something to do."""
    request = GenerationRequest(
        prompt=f"{PROMPTS[number % len(PROMPTS)]} {number if chance else number % 7}",
        width=64,
        height=64,
        steps=6 if chance else 1,
        seed=number,
        quantization=("bf16", "int4", "qint8")[number % 3] if chance else "bf16",
    )
    cancel_in = chance.choice(("", "encode", "load", "denoise", "decode")) if chance else None
    run = (await client.ask(Enqueue(request))).run
    if cancel_in == "":  # before its first word
        await client.ask(Cancel(run))
    heard: list[ev.Event] = []
    async with asyncio.timeout(300):
        async for event in client.events():
            if event.run != run:
                continue
            heard.append(event)
            if chance and isinstance(event, ev.PhaseStarted) and event.phase == cancel_in:
                await asyncio.sleep(chance.uniform(0, LATEST))
                await client.ask(Cancel(run))
            if isinstance(event, ENDINGS):
                break
    return heard


async def _read(client: WorkerClient, folder: Path) -> Reading:
    """Once the model is let go of, so that the same is compared with the same."""
    await client.ask(Unload())
    async with asyncio.timeout(300):
        while client.worker.model:
            await _drain(client)
    memory = await _idle_sample(client)
    process = psutil.Process(client.pid)
    left = [path for path in folder.rglob("*") if path.is_file() and "runs" not in path.parts]
    return Reading(
        active=memory.active,
        cache=memory.cache,
        footprint=memory.footprint,
        descriptors=process.num_fds(),
        threads=process.num_threads(),
        children=len(process.children(recursive=True)),
        files=sum(path.suffix not in (".log", ".png") and "cache" not in path.parts for path in left)
        + len(list((folder / "state" / "runs").glob("*/latents.safetensors"))),
    )


async def _drain(client: WorkerClient) -> None:
    async for _ in client.events():
        return


async def _idle_sample(client: WorkerClient) -> ev.Memory:
    """A reading of the meter a second after the last run, so that what it let go of is gone."""
    deadline = time.monotonic() + 1.0
    async for event in client.events():
        if isinstance(event, ev.MemorySampled) and not event.run and time.monotonic() > deadline:
            return event.memory
    raise AssertionError("the worker left")


async def _gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)


@contextmanager
def _home(folder: Path) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in ("FLUX2_HOME", "FLUX2_OUTPUT")}
    os.environ |= {"FLUX2_HOME": str(folder), "FLUX2_OUTPUT": str(folder / "pictures")}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--cancels", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="flux2-soak-"))
    try:
        reports = asyncio.run(soak(folder, options.images, options.cancels, options.seed, chatty=True))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, report in zip(("images", "cancels"), reports, strict=True):
        print(f"-- {name}\n{report.text}")
    return 0 if not any(report.errors for report in reports) else 1


if __name__ == "__main__":
    sys.exit(main())
