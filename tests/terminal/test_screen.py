"""`flux2-tui` in a real terminal with a real worker: hang-ups, comings back, storms and stalls."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

import psutil
import pytest

from flux2.paths import state_dir
from flux2.worker import control
from flux2.worker.launch import is_alive
from tests.terminal.pseudo_terminal import PseudoTerminal
from tests.worker.conftest import home  # noqa: F401 — a fixture
from tests.worker.home import Home, eventually
from tui.state.choices import load_choices

SCREEN = ["-m", "tui", "--graphics", "halfcell"]
RUN = b"\n"  # ctrl+j
STALL = float(os.environ.get("FLUX2_STALL_SECONDS", "8"))
"""How long a link is stalled."""
IMPORT_ALL = """
import importlib, pkgutil, sys, tui
for module in pkgutil.walk_packages(tui.__path__, "tui."):
    importlib.import_module(module.name)
print([name for name in ("mlx", "mlx.core", "transformers", "torch") if name in sys.modules])
"""


@pytest.fixture
async def worker(home: Home) -> int:  # noqa: F811
    """The pid of a worker whose engine computes nothing."""
    client = await home.attach(watch=False)
    await client.close()
    return client.pid


async def test_killed_mid_run_and_come_back(worker: int) -> None:
    with PseudoTerminal(SCREEN) as first:
        first.wait_for("ready")
        first.send(b"steps=5000 pause=0.05 a fox")
        first.send(RUN)
        first.wait_for("step 3 of 5000")
        first.send(b" and a draft")
        first.wait_for("a draft")
        began = time.monotonic()
        first.hang_up()
        code = first.wait()
        assert time.monotonic() - began < 5
        assert code == 1
    assert load_choices(state_dir() / "screen.json").prompt == "steps=5000 pause=0.05 a fox and a draft"
    os.kill(worker, 0)  # it lives
    with PseudoTerminal(SCREEN, size=(80, 24)) as second:
        second.wait_for("of 5000")
        second.wait_for("and a draft")
        second.wait_for("⣿")  # the graph
        second.send(b"\x11")
        assert second.wait() == 0
        assert "The run goes on without the screen" in second.text
    os.kill(worker, 0)


@pytest.mark.usefixtures("worker")
async def test_a_size_that_the_shell_has_exported_does_not_count() -> None:
    exported = {**os.environ, "COLUMNS": "55", "LINES": "12"}
    with PseudoTerminal(SCREEN, size=(80, 24), environment=exported) as screen:
        screen.wait_for("ready")
        screen.resize(50, 12)
        screen.wait_for("This terminal is 50×12")
        assert "This terminal is 55×12" not in screen.text


async def test_the_workers_death_is_told_and_a_key_brings_it_back(worker: int) -> None:
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"steps=100 pause=0.1 abort")
        screen.send(RUN)
        await eventually(lambda: not is_alive(worker))
        screen.wait_for("worker lost")
        screen.wait_for("Impacting")
        assert "\x1b[31m" + "Impacting" not in screen.raw.decode(errors="replace")
        screen.forget()
        try:
            screen.send(b"\x1b[15~")
            screen.wait_for("last run failed")
            screen.wait_for("A run broke off")
            screen.forget()
            screen.send(b"\x1b")
            screen.wait_for("d size")
            screen.send(b"b")
            screen.wait_for("take it up")
            screen.send(b"\x1b")
            screen.wait_till_gone("take it up")
            screen.send(b"\x11")
            assert screen.wait() == 0
        finally:
            await asyncio.to_thread(control.stop)  # the worker that the screen has started


@pytest.mark.parametrize(("graphics", "sign"), [("kitty", b"\x1b_G"), ("sixel", b"\x1bP")])
async def test_the_finished_picture_in_the_terminals_own_graphics(worker: int, graphics: str, sign: bytes) -> None:  # noqa: ARG001
    with PseudoTerminal(["-m", "tui", "--graphics", graphics]) as screen:
        screen.wait_for("ready")
        screen.send(b"steps=8 pause=0.3 a fox")
        screen.send(RUN)
        screen.wait_for("of 8")
        assert sign not in screen.raw  # while it forms it is half-cells
        screen.wait_for_bytes(sign)
        screen.forget()
        screen.send(RUN)
        if graphics == "kitty":
            screen.wait_for_bytes(b"\x1b_Ga=d,d=I,i=")  # the terminal's copy of the first picture is freed
        screen.wait_for_bytes(sign)
        screen.send(b"\x11")
        assert screen.wait() == 0


@pytest.mark.usefixtures("worker")
async def test_escape_and_a_letter_sent_together_leave_the_prompt_and_act() -> None:
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"a fox\x1bm")
        screen.wait_for("Pocket (embedded)")
        screen.send(b"\x1b")
        screen.send(b"\x11")
        assert screen.wait() == 0
    assert load_choices(state_dir() / "screen.json").prompt == "a fox"


async def test_a_paste_of_100_kb(worker: int) -> None:  # noqa: ARG001
    text = ("a fox in the snow " * 6000)[:100_000]
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"\x1b[200~" + text.encode() + b"\x1b[201~")
        screen.send(b"the end")
        screen.wait_for("the end")
        screen.send(b"\x11")
        assert screen.wait() == 0
    assert load_choices(state_dir() / "screen.json").prompt == text + "the end"


async def test_a_storm_of_resizes(worker: int) -> None:  # noqa: ARG001
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"steps=5000 pause=0.05 a fox")
        screen.send(RUN)
        for place in range(60):
            screen.resize(20 + place * 37 % 200, 3 + place * 13 % 60)
            screen.forget()
        screen.resize(80, 24)
        screen.wait_for("of 5000")
        screen.send(b"\x11")
        assert screen.wait() == 0


async def test_a_stalled_link_stalls_the_screen_alone(worker: int, home: Home) -> None:  # noqa: ARG001, F811
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(f"steps={round(STALL * 20)} pause=0.05 a fox")
        screen.send(RUN)
        screen.wait_for("step 2 of")
        time.sleep(STALL - 2)  # nobody reads what the screen writes
        process = psutil.Process(screen.process.pid)
        before = sum(process.cpu_times()[:2])
        time.sleep(1)
        assert sum(process.cpu_times()[:2]) - before < 0.05, "the screen still draws: this stalls nothing"
        pictures = home.folder / "pictures"
        await eventually(lambda: len(list(pictures.glob("*.png"))) == 1)
        screen.wait_for("Saved")
        screen.send(b"\x11")
        assert screen.wait() == 0


def test_without_a_terminal_it_says_what_to_use_instead() -> None:
    result = subprocess.run([sys.executable, "-m", "tui"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert result.returncode == 2
    assert result.stderr == "flux2-tui needs a terminal; in a script use `flux2 t2i`.\n"


def test_the_screen_never_imports_mlx_or_transformers() -> None:
    result = subprocess.run([sys.executable, "-c", IMPORT_ALL], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
