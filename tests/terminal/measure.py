"""Print how the screen behaves under a real terminal, with a real worker that computes meanwhile.

python tests/terminal/measure.py [seconds per measurement]

First frame, attaching to a running worker, a key's way to the screen, bytes per second over ssh during a run and
between runs, the most in one second while one looks about, and the memory of the screen's process after two hours of
events (simulated, as fast as they are taken).
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import psutil
from PIL import Image

from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from flux2.worker import control
from flux2.worker.client import connect, connect_or_start
from flux2.worker.commands import Enqueue
from tests.terminal.pseudo_terminal import PseudoTerminal

SCREEN = ["-m", "tui", "--graphics", "halfcell"]
SSH = {"SSH_CONNECTION": "10.0.0.1 5000 10.0.0.2 22"}
SIZE = (120, 40)
STEPS = 1000
"""Steps of the run that keeps both cores busy."""
BUDGETS = {
    "first frame, s": 0.8,
    "attach to a running worker, s": 0.5,
    "key to screen during a run, p95 ms": 60.0,
    "bytes per second during a run over ssh": 20_000.0,
    "bytes per second between runs over ssh": 1_000.0,
    "most bytes in a second of a run over ssh": 20_000.0,
    "most bytes in a second, gallery opened": 20_000.0,
    "most bytes in a second, page turned": 20_000.0,
    "most bytes in a second, picture viewed": 20_000.0,
    "most bytes in a second, back at the dashboard": 20_000.0,
    "most bytes in a second, detailed picture at 200×60": 20_000.0,
    "key to screen while that comes, p95 ms": 60.0,
    "memory of the screen after two hours of events, MB": 120.0,
}
LOOKING = {"gallery opened": "3", "page turned": "\x1b[6~", "picture viewed": "\r", "back at the dashboard": "1"}
TWO_HOURS = """
import asyncio, itertools, os, sys
import psutil
from textual.app import App
from tests.tui.replay import REQUEST, ReplayBackend, Story, events_of_a_run
from tests.tui.screen import make_app
from flux2 import events as ev

async def main():
    backend = ReplayBackend()
    app = make_app(backend)
    async with app.run_test(size=(120, 40)) as pilot:
        clock = app.session.clock
        seconds = 0.0
        for number in itertools.count():
            events = events_of_a_run(24, 24, step_seconds=30.0)
            began = events[0].time
            for event in events:
                object.__setattr__(event, "time", event.time + seconds)
                object.__setattr__(event, "run", f"r{number}")
                clock.now = event.time
                backend.feed(event)
                if isinstance(event, ev.StepFinished):
                    await pilot.pause(0.02)
            seconds += events[-1].time - began - seconds + 5
            if seconds >= 7200:
                break
        await pilot.pause(0.5)
        print(psutil.Process().memory_info().rss / 1e6)

asyncio.run(main())
"""


def main() -> int:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    measured: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="f2") as folder:
        os.environ |= {"FLUX2_HOME": folder, "FLUX2_OUTPUT": f"{folder}/pictures"}
        try:
            measured["first frame, s"] = statistics.median(_first_frame() for _ in range(3))
            with _screen(SSH) as screen:
                screen.wait_for("ready")
                measured["bytes per second between runs over ssh"] = _bytes_per_second(screen, seconds)
            asyncio.run(_keep_busy())
            measured["attach to a running worker, s"] = asyncio.run(_attach())
            with _screen(SSH) as screen:
                screen.wait_for(f"of {STEPS}")
                measured["bytes per second during a run over ssh"] = _bytes_per_second(screen, seconds)
                measured["most bytes in a second of a run over ssh"] = _most_in_a_second(screen, "", round(seconds))
                _make_pictures(Path(folder) / "pictures")
                screen.send("\x1b")  # out of the editor
                for what, key in LOOKING.items():
                    measured[f"most bytes in a second, {what}"] = _most_in_a_second(screen, key, 5)
            measured |= _detailed_picture(Path(folder) / "pictures")
            with _cores() as cores:
                keys = sorted(_key_times(seconds))
            measured |= cores
            measured["key to screen during a run, p50 ms"] = 1000 * statistics.median(keys)
            measured["key to screen during a run, p95 ms"] = 1000 * keys[int(0.95 * len(keys))]
        finally:
            control.stop()
        output = subprocess.run([sys.executable, "-c", TWO_HOURS], capture_output=True, text=True, check=True).stdout
        measured["memory of the screen after two hours of events, MB"] = float(output.split()[-1])
    print(f"{psutil.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {SIZE[0]}×{SIZE[1]}")
    for name, value in measured.items():
        budget = BUDGETS.get(name)
        verdict = "" if budget is None else f"   at most {budget:g}: {'yes' if value <= budget else 'NO'}"
        print(f"{name:<52}{value:>10.4g}{verdict}")
    return int(any(measured[name] > budget for name, budget in BUDGETS.items()))


@contextmanager
def _screen(environment: dict[str, str], size: tuple[int, int] = SIZE) -> Iterator[PseudoTerminal]:
    with PseudoTerminal(SCREEN, size, os.environ | environment) as screen:
        yield screen
        screen.send(b"\x11")
        screen.wait()


def _first_frame() -> float:
    """Seconds from the start to the first frame, the worker starting beside it."""
    control.stop()
    began = time.monotonic()
    with _screen({}) as screen:
        screen.wait_for("Settings")
        return time.monotonic() - began


async def _keep_busy() -> None:
    """A run that takes both cores for as long as everything else is measured."""
    client = await connect_or_start(watch=False)
    request = GenerationRequest(prompt="a red fox in the snow", steps=STEPS, width=256, height=256, seed=1)
    await client.ask(Enqueue(request))
    await client.close()
    await asyncio.sleep(8)  # past loading, into the steps


async def _attach() -> float:
    """Seconds until a screen's client has the snapshot of a worker that computes."""
    times = []
    for _ in range(5):
        began = time.monotonic()
        client = await connect()
        times.append(time.monotonic() - began)
        await client.close()
    return statistics.median(times)


def _bytes_per_second(screen: PseudoTerminal, seconds: float) -> float:
    time.sleep(1)
    screen.forget()
    screen.read_for(seconds)
    return len(screen.raw) / seconds


def _most_in_a_second(screen: PseudoTerminal, key: str, seconds: int) -> int:
    """After this key, if any."""
    screen.read_for(2)
    screen.forget()
    screen.send(key)
    sent = [0]
    for _ in range(seconds):
        screen.read_for(1)
        sent.append(len(screen.raw))
    return max(after - before for before, after in pairwise(sent))


def _detailed_picture(folder: Path) -> dict[str, float]:
    """A picture of noise, the costliest there is, opened on a large terminal; and keys that are pressed meanwhile."""
    request = GenerationRequest(prompt="noise", width=512, height=512, steps=4, seed=1)
    save_png(Image.effect_noise((512, 512), 200).convert("RGB"), folder / "zzz.png", ImageMetadata(request=request))
    with _screen(SSH, (200, 60)) as screen:
        screen.wait_for(f"of {STEPS}")
        screen.send("\x1b")
        screen.read_for(1)
        screen.send("3")
        screen.read_for(12)
        most = _most_in_a_second(screen, "\r", 6)
        keys = []
        for _ in range(6):
            screen.forget()
            sent = time.monotonic()
            screen.send("z")  # pixel for pixel: all other pixels, while those before are still being sent
            screen.wait_for(", 1:1")
            keys.append(time.monotonic() - sent)
            screen.read_for(0.5)
            screen.send("z")
            screen.read_for(0.5)
        return {
            "most bytes in a second, detailed picture at 200×60": most,
            "key to screen while that comes, p95 ms": 1000 * sorted(keys)[int(0.95 * len(keys))],
        }


def _make_pictures(folder: Path) -> None:
    """Two pages of the gallery, of what the embedded model draws."""
    with Image.open("flux2/pocket/training/samples.jpg") as sheet:
        side = sheet.width // 4
        for number in range(24):
            left, top = number % 4 * side, number // 4 % 4 * side
            picture = sheet.crop((left, top, left + side, top + side)).resize((256, 256)).rotate(number // 16 * 90)
            request = GenerationRequest(prompt=f"fox {number}", width=256, height=256, steps=4, seed=number)
            save_png(picture, folder / f"fox-{number}.png", ImageMetadata(request=request))


@contextmanager
def _cores() -> Iterator[dict[str, float]]:
    """How many the worker takes, and all processes together."""
    worker, taken = psutil.Process(asyncio.run(_worker())), dict[str, float]()
    began, before, all_before = time.monotonic(), sum(worker.cpu_times()[:2]), _busy()
    yield taken
    seconds = time.monotonic() - began
    taken["cores that the worker took meanwhile"] = (sum(worker.cpu_times()[:2]) - before) / seconds
    taken["cores that all processes took meanwhile"] = (_busy() - all_before) / seconds


def _busy() -> float:
    """Seconds of computing, of all cores since the start."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system)


async def _worker() -> int:
    client = await connect(watch=False)
    await client.close()
    return client.pid


def _key_times(seconds: float) -> Iterator[float]:
    """Seconds from each letter typed into the prompt to its appearance."""
    with _screen({}) as screen:
        screen.wait_for(f"of {STEPS}")
        end = time.monotonic() + seconds
        for letter in itertools.cycle("αβγδεζηθικλμνξοπρστυφχψω"):  # none of which anything else writes
            screen.read_for(0.2)
            screen.forget()
            sent = time.monotonic()
            screen.send(letter)
            screen.wait_for_bytes(letter.encode())
            yield time.monotonic() - sent
            if time.monotonic() > end:
                return


if __name__ == "__main__":
    sys.path.insert(0, str(Path.cwd()))
    sys.exit(main())
