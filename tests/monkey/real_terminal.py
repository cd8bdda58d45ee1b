"""An episode's operations on the real program in a real terminal, with a real worker whose engine computes nothing.

Time passes by itself here, so that a list that fails may not fail again; what it can tell is told at once: that the
program ends, hangs, or grows.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import signal
import tempfile
from pathlib import Path

import psutil

from flux2.errors import WorkerError
from flux2.paths import state_dir
from flux2.request import GenerationRequest
from flux2.worker import control
from flux2.worker.client import connect, connect_or_start
from flux2.worker.commands import Enqueue
from tests.monkey import files
from tests.monkey.episode import Episode, episode
from tests.monkey.operations import Operation, counted
from tests.monkey.world import BrokenRuleError, surroundings
from tests.terminal.pseudo_terminal import PseudoTerminal
from tests.worker.home import ROOT, RUNNER

_LENGTH = 150
"""Operations between a start of the program and its end."""
_SCREEN = f"""
import sys
from flux2.worker import launch
start = launch.start
launch.start = lambda path, arguments=(): start(path, {RUNNER!r})
from tui.__main__ import main
sys.exit(main(["--graphics", "halfcell"]))
"""
"""The program, but for the worker that it starts."""
_LONGEST_WAIT = 0.3
_QUIT, _REDRAW = b"\x11", b"\x0c"
_ROOM = {"descriptors": 6, "threads": 4, "mebibytes": 60}
"""How much more of each there may be at the end: files that are open for a moment, threads that wait for work."""


def run_in_terminal(seed: int, operations: int) -> int:
    """Do so many operations, some at each start of the program; the exit code."""
    done, failures = 0, 0
    while done < operations:
        tried = episode(seed, _LENGTH)
        seed, done = seed + 1, done + counted(tried.operations)
        try:
            _run(tried)
        except (BrokenRuleError, AssertionError) as error:
            failures += 1
            print(f"Failed in episode {tried.seed}: {error}", flush=True)
        print(f"{done} operations, {failures} failed", flush=True)
    return failures > 0


def _run(tried: Episode) -> None:
    """
    Raises:
        BrokenRuleError: if the program ends otherwise than it should, or grows.
        AssertionError: if it does not answer.
    """
    folder = Path(tempfile.mkdtemp(prefix="flux2-"))
    try:
        with surroundings(folder):
            os.environ["PYTHONPATH"] = str(ROOT)
            asyncio.run(_start_worker())
            try:
                _live(tried, folder / "pictures")
            finally:
                control.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _live(tried: Episode, pictures: Path) -> None:
    with PseudoTerminal(["-c", _SCREEN], tried.size) as screen:
        screen.wait_until(lambda: b"\x1b[?1049h" in screen.raw, "the first frame")
        _answers(screen)
        before = _held(screen)
        for operation in tried.operations:
            if screen.process.poll() is not None:
                break
            _perform(screen, operation, pictures)
        if screen.process.poll() is None:
            _answers(screen)
            _grows_not(before, _held(screen))
            screen.send(_QUIT)
        code, crash = screen.wait(), state_dir() / "screen-crash.log"
        if code or crash.exists():
            said = crash.read_text("utf-8")[-1500:] if crash.exists() else screen.text[-1500:]
            raise BrokenRuleError("no exception", f"it ended with {code}: {said}")


def _perform(screen: PseudoTerminal, operation: Operation, pictures: Path) -> None:
    match operation.kind, operation.texts, operation.numbers:
        case "type", texts, _:
            screen.send("".join(texts).replace("{pictures}", str(pictures)))
        case "resize", _, (columns, rows):
            screen.resize(int(columns), int(rows))
        case "worker", (what,), _:
            _let_worker(what)
        case "disk", (what,), (seed,):
            files.happen(what, random.Random(seed), pictures)
        case "wait", _, (seconds,):
            screen.read_for(min(seconds, _LONGEST_WAIT))
        case "rest", _, _:
            screen.read_for(_LONGEST_WAIT)
            screen.forget()


def _let_worker(what: str) -> None:
    """It goes on by itself; a run that fails is one that another screen has asked for."""
    try:
        match what:
            case "kill":
                if told := control.status():
                    os.kill(told.worker.pid, signal.SIGKILL)
            case "come_back":
                asyncio.run(_start_worker())
            case "fail" | "keep_unsaved":
                asyncio.run(_ask("steps=4 pause=0.05 keep fail"))
            case "warn":
                asyncio.run(_ask("steps=20 pause=0.05 warn=3 length=40"))
    except (WorkerError, ProcessLookupError):
        pass  # it is dead already, or being started by the screen


async def _start_worker() -> None:
    client = await connect_or_start(watch=False, arguments=RUNNER)
    await client.close()


async def _ask(script: str) -> None:
    client = await connect(watch=False)
    try:
        await client.ask(Enqueue(GenerationRequest(prompt=script)))
    finally:
        await client.close()


def _answers(screen: PseudoTerminal) -> None:
    """It repaints when it is asked to, in the end, however much it has to do."""
    screen.forget()
    screen.send(_REDRAW)
    screen.wait_until(lambda: bool(screen.raw) or screen.process.poll() is not None, "an answer to ctrl+l")


def _held(screen: PseudoTerminal) -> dict[str, int]:
    process = psutil.Process(screen.process.pid)
    return {
        "descriptors": process.num_fds(),
        "threads": process.num_threads(),
        "mebibytes": process.memory_info().rss >> 20,
    }


def _grows_not(before: dict[str, int], after: dict[str, int]) -> None:
    for name, room in _ROOM.items():
        if after[name] > before[name] + room:
            raise BrokenRuleError("nothing is left behind", f"{name} {before[name]} -> {after[name]}")
