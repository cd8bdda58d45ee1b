from __future__ import annotations

import asyncio

import pytest

from flux2 import events as ev
from flux2.errors import WorkerError
from flux2.worker import control
from flux2.worker.client import WorkerLeft
from flux2.worker.commands import Enqueue
from flux2.worker.logfile import log_path
from tests.worker.home import Home, events_until, heard_until_lost, of_type, request


@pytest.mark.usefixtures("home")
def test_without_a_worker_there_is_no_status_and_nothing_to_stop() -> None:
    assert control.status() is None
    assert control.stop() is False
    assert control.stop_when_idle() is False
    assert control.log() == []


async def test_the_status_is_the_snapshot(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=50")))).run
    await events_until(client, ev.StepFinished)
    snapshot = await asyncio.to_thread(control.status)
    assert snapshot
    assert snapshot.worker.pid == client.pid
    assert snapshot.queue[0]["id"] == run


async def test_stopping_breaks_the_run_off(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=1000")))).run
    await events_until(client, ev.StepFinished)
    assert await asyncio.to_thread(control.stop)
    heard, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerLeft)
    (failed,) = of_type(heard, ev.RunFailed, run)
    assert "It can be taken up again" in failed.message
    assert f"worker {client.pid} left" in control.log()[-1]


async def test_stopping_when_idle_lets_the_run_end(home: Home) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(request("steps=20")))).run
    await events_until(client, ev.StepFinished)
    assert await asyncio.to_thread(control.stop_when_idle)
    heard, lost = await heard_until_lost(client)
    assert isinstance(lost, WorkerLeft)
    assert of_type(heard, ev.RunFinished, run)


async def test_a_worker_that_speaks_another_language_is_stopped_all_the_same(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await home.attach()
    monkeypatch.setattr("flux2.worker.client.PROTOCOL", 99)
    with pytest.raises(WorkerError, match="flux2 worker stop"):
        await asyncio.to_thread(control.status)
    assert await asyncio.to_thread(control.stop)
    _, lost = await heard_until_lost(client)
    assert "SIGTERM" in lost.reason


async def test_a_worker_that_obeys_nothing_is_killed(home: Home) -> None:
    client = await home.attach()
    await client.ask(Enqueue(request("steps=10000 stubborn")))
    await events_until(client, ev.StepFinished)
    assert await asyncio.to_thread(control.stop, patience=0.3)
    _, lost = await heard_until_lost(client)
    assert lost.reason


@pytest.mark.usefixtures("home")
def test_the_log_says_nothing_a_terminal_would_obey() -> None:
    log_path().parent.mkdir(parents=True)
    log_path().write_bytes(b"one\x1b]0;title\x07\n\ttwo\xff \xe2\x80\xae\n\n")
    assert control.log() == [r"one\x1b]0;title\x07", r"\ttwo� \u202e"]
