"""Runs that broke off are offered again, from where they were; pictures that could not be saved are not lost."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flux2 import events as ev
from flux2.errors import WorkerError
from flux2.paths import state_dir
from flux2.request import GenerationRequest
from flux2.worker.access import is_answered
from flux2.worker.client import WorkerClient, WorkerLost, connect_or_start
from flux2.worker.commands import Cancel, Discard, Enqueue, Hold, Remove, Resume, SaveAgain
from flux2.worker.death import out_of_memory_kills
from flux2.worker.history import ENDINGS
from tests.worker.fake_runner import DEATHS
from tests.worker.home import (
    ROOT,
    RUNNER,
    Home,
    events_until,
    eventually,
    heard_until_lost,
    next_event,
    of_type,
    record_of,
    request,
)


async def killed_after(home: Home, script: str, step: int) -> str:
    """The id of a run whose worker died after this step."""
    client = await home.attach()
    run = (await client.ask(Enqueue(request(script)))).run
    while (await next_event(client, ev.StepFinished)).step < step:
        pass
    os.kill(client.pid, signal.SIGKILL)
    await heard_until_lost(client)
    return run


async def test_a_killed_run_is_offered_and_goes_on_from_its_last_kept_step(home: Home) -> None:
    run = await killed_after(home, "keep steps=30", 5)
    client = await home.attach()
    (offer,) = client.snapshot.unfinished
    assert (offer["id"], offer["steps"], offer["request"]["seed"]) == (run, 30, 1)
    assert offer["step"] >= 4
    assert "after step" in offer["reason"]
    assert client.snapshot.queue == ()  # nothing begins by itself

    new = (await client.ask(Resume(run))).run
    heard = await events_until(client, *ENDINGS)
    (started,) = of_type(heard, ev.RunStarted, new)
    assert started.first_step == offer["step"]
    assert of_type(heard, ev.StepFinished, new)[0].step == offer["step"] + 1
    assert isinstance(heard[-1], ev.RunFinished)
    assert of_type(heard, ev.UnfinishedChanged)[-1].items == ()
    assert not [*home.runs.glob("*/latents.safetensors"), *home.runs.glob("*/unfinished.json")]


async def test_a_run_without_a_kept_step_is_offered_from_its_beginning(home: Home) -> None:
    run = await killed_after(home, "steps=30", 2)
    client = await home.attach()
    assert [(offer["id"], offer["step"]) for offer in client.snapshot.unfinished] == [(run, 0)]
    again = await home.attach()
    assert again.snapshot.unfinished == client.snapshot.unfinished
    new = (await client.ask(Resume(run))).run
    heard = await events_until(client, *ENDINGS)
    assert of_type(heard, ev.StepFinished, new)[0].step == 1


async def test_an_offer_outlives_workers_and_waits_in_the_queue(home: Home) -> None:
    run = await killed_after(home, "keep steps=30", 3)
    client = await home.attach()
    await client.ask(Hold(True))
    other = (await client.ask(Enqueue(request()))).run
    new = (await client.ask(Resume(run))).run
    with pytest.raises(WorkerError, match="in the queue already"):
        await client.ask(Resume(run))
    with pytest.raises(WorkerError, match="remove it there first"):
        await client.ask(Discard(run))
    client.kill(signal.SIGKILL)
    await heard_until_lost(client)

    client = await home.attach()
    assert [item["id"] for item in client.snapshot.queue] == [new, other]
    assert client.snapshot.unfinished == ()
    await client.ask(Remove(new))
    assert [item["id"] for item in (await next_event(client, ev.UnfinishedChanged)).items] == [run]
    await client.ask(Discard(run))
    assert (await next_event(client, ev.UnfinishedChanged)).items == ()
    assert not list(home.runs.glob("*/latents.safetensors"))
    with pytest.raises(WorkerError, match="not among the unfinished ones"):
        await client.ask(Resume(run))


async def test_a_request_that_kills_every_worker_does_so_only_when_asked(home: Home) -> None:
    client = await home.attach()
    await client.ask(Hold(True))
    run = (await client.ask(Enqueue(request("die=load how=kill")))).run
    await let_go_on(client)
    await heard_until_lost(client)
    client = await home.attach()
    await client.ask(Hold(True))
    await client.ask(Resume(run))
    await let_go_on(client)
    await heard_until_lost(client)
    client = await home.attach()
    assert len(client.snapshot.unfinished) == 1
    assert client.snapshot.queue == ()


async def test_a_worker_told_to_leave_offers_its_run_and_a_cancelled_one_is_gone(home: Home) -> None:
    client = await home.attach()
    cancelled = (await client.ask(Enqueue(request("keep steps=1000")))).run
    await events_until(client, ev.StepFinished)
    await client.ask(Cancel(cancelled))
    await events_until(client, ev.RunCancelled)
    run = (await client.ask(Enqueue(request("keep steps=1000")))).run
    await events_until(client, ev.StepFinished)
    client.kill(signal.SIGTERM)  # as a shutdown does
    await heard_until_lost(client)
    client = await home.attach()
    (offer,) = client.snapshot.unfinished
    assert offer["id"] == run
    assert offer["step"] >= 1
    assert "SIGTERM" in offer["reason"]


PAIRS = [(how, ev.PHASES_OF_TEXT[place % len(ev.PHASES_OF_TEXT)]) for place, how in enumerate(DEATHS)]
"""Every phase and every way once; all of their combinations with FLUX2_ALL_FAULTS=1."""
if os.environ.get("FLUX2_ALL_FAULTS"):
    PAIRS = list(itertools.product(DEATHS, ev.PHASES_OF_TEXT))


@pytest.mark.parametrize(("how", "phase"), PAIRS)
async def test_death_in_any_phase_is_told_and_nothing_is_lost(home: Home, phase: str, how: str) -> None:
    client = await home.attach()
    await client.ask(Hold(True))
    run = (await client.ask(Enqueue(request(f"keep steps=2 pause=0 die={phase} how={how}")))).run
    waiting = (await client.ask(Enqueue(request("steps=1")))).run
    await let_go_on(client)
    if how == "memory":  # only the run dies of it
        failed = (await events_until(client, ev.RunFailed))[-1]
        assert isinstance(failed, ev.RunFailed)
        assert "not enough memory" in failed.message
        assert (await events_until(client, ev.RunFinished))[-1].run == waiting
        return
    _, lost = await heard_until_lost(client)
    assert TOLD[how] in lost.reason
    client = await home.attach()
    assert [offer["id"] for offer in client.snapshot.unfinished] == [run]
    assert client.snapshot.unfinished[0]["step"] == (2 if phase in ("decode", "save") else 0)
    assert f"interrupted in phase {phase}" in client.snapshot.unfinished[0]["reason"]
    told = [*(event for record in client.snapshot.runs for event in record.events)]
    if not of_type(told, ev.RunFinished, waiting):
        assert (await events_until(client, ev.RunFinished))[-1].run == waiting


async def let_go_on(client: WorkerClient) -> None:
    with contextlib.suppress(WorkerLost):  # it may die before it can answer
        await client.ask(Hold(False))


TOLD = {
    "kill": "killed by SIGKILL, by another program or user" if out_of_memory_kills() is not None else "SIGKILL",
    "segfault": "killed by SIGSEGV",
    "abort": "killed by SIGABRT",
    "exit": "exit code 7",
    "terminate": "The GPU ran out of memory",
}


async def test_a_resumed_picture_is_the_same_to_the_last_bit(home: Home) -> None:
    asked = GenerationRequest(prompt="a red fox", width=64, height=64, steps=40, seed=3, output=str(home.folder / "a"))
    client = await engine(home)
    await client.ask(Enqueue(asked))
    undisturbed = (await events_until(client, *ENDINGS))[-1]
    run = (await client.ask(Enqueue(asked))).run
    await eventually((home.runs / run / "latents.safetensors").exists)
    client.kill(signal.SIGKILL)
    await heard_until_lost(client)
    client = await engine(home)
    assert client.snapshot.unfinished[0]["step"] >= 1
    await client.ask(Resume(run))
    heard = await events_until(client, *ENDINGS)
    assert of_type(heard, ev.RunStarted)[0].first_step == client.snapshot.unfinished[0]["step"]
    resumed = heard[-1]
    assert isinstance(undisturbed, ev.RunFinished)
    assert isinstance(resumed, ev.RunFinished)
    assert np.array_equal(np.array(Image.open(undisturbed.path)), np.array(Image.open(resumed.path)))


async def engine(home: Home) -> WorkerClient:
    client = await connect_or_start(arguments=("--runner", "tests.worker.fake_runner:CarefulEngine"))
    home.clients.append(client)
    home.pids.add(client.pid)
    return client


# --- pictures that can't be saved -------------------------------------------------------------------------------------


async def test_a_picture_whose_folder_is_gone_is_kept_and_saved_again(home: Home) -> None:
    folder = home.folder / "gone"
    (home.folder / "gone").write_text("a file in the folder's place")
    client = await home.attach()
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=1", output=str(folder / "fox.png"))))).run
    heard = await events_until(client, ev.RunFailed)
    (failed,) = of_type(heard, ev.RunFailed, run)
    assert str(folder / "fox.png") in failed.message
    (offer,) = of_type(heard, ev.UnfinishedChanged)[-1].items
    assert offer["picture"] == str(folder / "fox.png")
    with pytest.raises(WorkerError, match="save it again"):
        await client.ask(Resume(run))
    with pytest.raises(WorkerError, match="a part of that path is a file"):
        await client.ask(SaveAgain(run))

    client.kill(signal.SIGKILL)  # what is kept outlives the worker
    await heard_until_lost(client)
    client = await home.attach()
    assert [offer["picture"] for offer in client.snapshot.unfinished] == [str(folder / "fox.png")]
    folder.unlink()
    saved = (await client.ask(SaveAgain(run))).path
    assert saved == str(folder / "fox.png")
    assert Image.open(saved).size == (16, 16)
    heard = await events_until(client, ev.UnfinishedChanged)
    assert of_type(heard, ev.RunFinished, run)[0].path == saved
    assert isinstance((await record_of(run)).events[-1], ev.RunFinished)
    assert not list(home.runs.glob("*/picture.png"))


async def test_a_picture_is_saved_elsewhere(home: Home) -> None:
    (home.folder / "pictures").write_text("")
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=1 a fox")))).run
    await events_until(client, ev.UnfinishedChanged)
    (home.folder / "elsewhere").mkdir()
    saved = (await client.ask(SaveAgain(run, str(home.folder / "elsewhere")))).path
    assert Path(saved).parent == home.folder / "elsewhere"
    assert saved.endswith(".png")


async def test_a_full_disk_leaves_no_half_file(home: Home, small_disk: Path) -> None:
    client = await home.attach()
    (small_disk / "filler").write_bytes(bytes(small_disk_room(small_disk)))
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=1", output=str(small_disk / "fox.png"))))).run
    heard = await events_until(client, ev.RunFailed)
    assert "the disk is full" in of_type(heard, ev.RunFailed, run)[0].message
    assert [path.name for path in small_disk.iterdir()] == ["filler"]
    (small_disk / "filler").unlink()
    assert (await client.ask(SaveAgain(run))).path == str(small_disk / "fox.png")


async def test_where_no_disk_takes_the_picture_the_worker_holds_it(home: Home) -> None:
    # No file may grow beyond a block: neither picture nor journal can be written.
    command = f"ulimit -f 0; exec {sys.executable} -m flux2.worker --idle-timeout 3 {' '.join(RUNNER)}"
    worker = subprocess.Popen(["sh", "-c", command], cwd=ROOT)
    home.pids.add(worker.pid)
    await eventually(lambda: is_answered(home.socket))
    client = await home.attach(start=False)
    await client.ask(Enqueue(request("steps=1")))
    heard = await events_until(client, ev.UnfinishedChanged)
    assert any("in the worker's memory alone" in event.message for event in of_type(heard, ev.Logged))
    await client.close()
    await asyncio.sleep(4.0)  # idle and alone, it would have left
    client = await home.attach(start=False)
    (offer,) = client.snapshot.unfinished
    assert offer["picture"]
    client.kill()
    await asyncio.to_thread(worker.wait, 20)


def small_disk_room(folder: Path) -> int:
    return shutil.disk_usage(folder).free


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:  # type: ignore[misc]
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


# --- damaged leftovers ------------------------------------------------------------------------------------------------


async def test_a_damaged_offer_is_put_aside_with_a_note(home: Home) -> None:
    content = b'{"id": "x"}'
    folder = home.runs / "20260101-000000-aaaaaa"
    folder.mkdir(parents=True)
    (folder / "unfinished.json").write_bytes(content)
    (folder / "events.jsonl").write_text('{"event":"RunCancelled","run":"20260101-000000-aaaaaa","time":1}\n')
    client = await home.attach()
    assert client.snapshot.unfinished == ()
    (note,) = of_type(client.snapshot.log, ev.Logged)
    assert "it is now unfinished.damaged-" in note.message
    assert [path.read_bytes() for path in folder.glob("unfinished.damaged-*.json")] == [content]


async def test_a_rebooted_machines_run_is_offered(home: Home) -> None:
    """What a reboot leaves: no process, no clean end, a stale socket and lock, and a clock that may have moved."""
    run = await killed_after(home, "keep steps=30", 3)
    for path in state_dir().rglob("*"):
        os.utime(path, (0, 0))
    client = await home.attach()
    assert [offer["id"] for offer in client.snapshot.unfinished] == [run]


async def test_the_command_line_takes_runs_up_saves_pictures_and_lets_them_go(home: Home) -> None:
    def flux2(*arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "flux2", "worker", *arguments], capture_output=True, text=True)
        return done.stdout + done.stderr

    await home.attach()
    assert "No run is unfinished" in await asyncio.to_thread(flux2, "resume")
    run = await killed_after(home, "keep steps=30 \x1b[31m", 3)
    client = await home.attach()
    listed = await asyncio.to_thread(flux2, "unfinished")
    assert run in listed
    assert "of 30" in listed
    assert "\x1b" not in listed
    assert "goes on after step" in await asyncio.to_thread(flux2, "resume")
    await events_until(client, ev.RunFinished)
    assert "is not among the unfinished ones" in await asyncio.to_thread(flux2, "discard", run)
