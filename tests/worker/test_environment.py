"""Where it runs: clocks, locales, folders that are odd or missing. It works, or says what is wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from flux2 import events as ev
from flux2.paths import pocket_checkpoint
from flux2.pictures.images import read_metadata
from flux2.worker.commands import Enqueue, Resume
from flux2.worker.history import ENDINGS
from flux2.worker.priority import NICENESS
from tests.terminal.pseudo_terminal import PseudoTerminal
from tests.worker.home import ROOT, Home, events_until, heard_until_lost, next_event, request

NO_UTF8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": "ascii:strict"}


async def test_a_clock_that_was_set_back_hides_no_run(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the journal, runs of the future are what runs of today are after the clock was set back."""
    for number in range(12):
        folder = home.runs / f"20991231-235959-0000{number:02x}"
        folder.mkdir(parents=True)
        (folder / "events.jsonl").write_text(f'{{"event":"RunCancelled","run":"{folder.name}","time":4e9}}\n')
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    client = await home.attach()
    run = (await client.ask(Enqueue(request("keep steps=1000")))).run
    while (await next_event(client, ev.StepFinished)).step < 3:
        pass
    os.kill(client.pid, signal.SIGKILL)
    await heard_until_lost(client)
    monkeypatch.setenv("TZ", "Pacific/Pago_Pago")  # a day earlier
    client = await home.attach()
    assert [offer["id"] for offer in client.snapshot.unfinished] == [run]
    assert client.snapshot.runs[-1].run == run
    new = (await client.ask(Resume(run))).run
    assert new > run


def flux2(*arguments: str, environment: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    unset = {name: value for name, value in os.environ.items() if name not in ("LANG", "LC_ALL")}
    command = [os.fsencode(sys.executable), b"-m", b"flux2", *(argument.encode() for argument in arguments)]
    return subprocess.run(
        command, cwd=ROOT, env={**unset, **environment}, capture_output=True, stdin=subprocess.DEVNULL, check=False
    )


TINY = ("--width", "64", "--height", "64", "--steps", "1")


@pytest.mark.parametrize(("locale", "model"), [({"LC_ALL": "C"}, "a model"), (NO_UTF8, "")], ids=["C", "ascii"])
def test_odd_paths_another_locale_and_no_folder_for_temporary_files(
    tmp_path: Path, locale: dict[str, str], model: str
) -> None:
    place = tmp_path / "my 🦊 häuschen"
    place.mkdir()
    (place / "a model").symlink_to(pocket_checkpoint())
    environment = {**locale, "FLUX2_HOME": str(place / "state ü"), "TMPDIR": str(place / "gone")}
    output = place / "pictures 🎨" / "it's.png"
    chosen = str(place / model) if model else "pocket"
    made = flux2("t2i", "ein Füchslein 🦊", "--model", chosen, *TINY, "-o", str(output), environment=environment)
    assert made.returncode == 0, made.stderr
    assert read_metadata(output).request.prompt == "ein Füchslein 🦊"


def test_a_home_that_can_not_be_written(tmp_path: Path) -> None:
    environment = {"HOME": "/dev/null", "FLUX2_HOME": "/dev/null/x"}
    made = flux2("t2i", "a fox", "--model", "/dev/null/none", *TINY, "-o", str(tmp_path) + "/", environment=environment)
    assert made.returncode == 2
    assert made.stderr.count(b"\n") == 1
    asked = flux2("worker", "status", environment=environment)
    assert asked.returncode == 1
    assert b"/dev/null/x" in asked.stderr
    assert b"set FLUX2_HOME to a folder of yours" in asked.stderr


def test_the_screen_says_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {**os.environ, **NO_UTF8, "FLUX2_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "gone")}
    with PseudoTerminal(["-m", "tui", "--graphics", "halfcell"], environment=environment) as screen:
        screen.wait_for("worker lost")
        screen.wait_for("FLUX2_HOME")
        screen.send(b"a fox\x11")
        assert screen.wait() == 0


async def test_a_worker_in_odd_places(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NO_UTF8.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TMPDIR", str(home.folder / "gone"))
    monkeypatch.setenv("FLUX2_OUTPUT", str(home.folder / "my 🦊 pictures"))
    monkeypatch.setenv("FLUX2_HOME", str(home.folder / "a rather long name of a folder with 🦊 in it" / ("x" * 60)))
    client = await home.attach()
    await client.ask(Enqueue(request("steps=1 ein Füchslein 🦊")))
    finished = (await events_until(client, *ENDINGS))[-1]
    assert isinstance(finished, ev.RunFinished), finished
    assert await asyncio.to_thread(Path(finished.path).exists)


async def test_the_worker_holds_on_to_no_folder_of_its_users(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home.folder)
    monkeypatch.setenv("FLUX2_HOME", "below")
    monkeypatch.setenv("FLUX2_OUTPUT", "pictures")
    client = await home.attach()
    assert psutil.Process(client.pid).cwd() == "/"
    await client.ask(Enqueue(request("steps=1")))
    finished = (await events_until(client, *ENDINGS))[-1]
    assert isinstance(finished, ev.RunFinished), finished
    assert Path(finished.path).parent == home.folder / "pictures"


async def test_the_worker_gives_way_to_the_screen(home: Home) -> None:
    client = await home.attach()
    assert psutil.Process(client.pid).nice() == os.nice(0) + NICENESS
    group = Path(f"/proc/{client.pid}/autogroup")
    if group.exists():
        assert group.read_text().split()[-1] == str(NICENESS)
