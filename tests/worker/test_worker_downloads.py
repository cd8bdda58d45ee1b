"""Downloads that a real worker does for its screens and for its runs, from a small Hub on this machine."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from home import Home, events_until, eventually, next_event, of_type

from flux2 import events as ev
from flux2.checkpoint.manifest import storage
from flux2.errors import WorkerError
from flux2.request import GenerationRequest
from flux2.store.local import find_local, is_ready
from flux2.worker.client import WorkerClient
from flux2.worker.commands import Cancel, CancelDownload, DeleteModel, Enqueue, PauseDownload, StartDownload
from tests.hub_server import WEIGHTS, Hub, klein_hub, some_weights


@pytest.fixture
def hub(home: Home, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """One that sends the text encoder in eight seconds, until its `pace` is taken back."""
    with klein_hub(home.folder, monkeypatch) as hub:
        hub.files[WEIGHTS] = some_weights(40 * 64 * 1024)
        hub.pace = 0.2
        yield hub


async def states_until(client: WorkerClient, state: str) -> list[ev.DownloadProgress]:
    """What is told of downloads, up to and with one of this state."""
    heard: list[ev.DownloadProgress] = []
    async with asyncio.timeout(120.0):
        async for event in client.events():
            if isinstance(event, ev.DownloadProgress):
                heard.append(event)
                if event.state == state:
                    return heard
    raise AssertionError(f"never {state}")


async def test_a_download_is_begun_paused_gone_on_with_and_seen_by_all(home: Home, hub: Hub) -> None:
    client = await home.attach()
    await client.ask(StartDownload("klein-4b"))
    progress = (await states_until(client, "downloading"))[-1]
    assert progress.model == "klein-4b" and progress.total > len(hub.files[WEIGHTS])
    await client.ask(PauseDownload("klein-4b"))
    await states_until(client, "paused")
    assert psutil.Process(client.pid).children() == []
    other = await home.attach()
    (told,) = [event for event in other.snapshot.log if isinstance(event, ev.DownloadProgress)]
    assert told.state == "paused" and 0 < told.done < told.total
    hub.pace = 0.0
    await other.ask(StartDownload("black-forest-labs/FLUX.2-klein-4B"))
    last = (await states_until(client, "finished"))[-1]
    assert last.done == last.total
    assert is_ready(find_local("klein-4b") or Path("nowhere"))
    assert hub.sent[WEIGHTS] <= len(hub.files[WEIGHTS]) + 2 * 64 * 1024, "what had come was kept"
    with pytest.raises(WorkerError, match="klein-4b is here already"):
        await client.ask(StartDownload("klein-4b"))


async def test_a_cancelled_download_is_kept_and_no_longer_there(home: Home, hub: Hub) -> None:
    client = await home.attach()
    await client.ask(StartDownload("klein-4b"))
    await states_until(client, "downloading")
    await client.ask(CancelDownload("klein-4b"))
    last = (await states_until(client, "cancelled"))[-1]
    assert last.done > 0 and list(storage(hub.repo).rglob("*.incomplete"))
    for refused in (PauseDownload("klein-4b"), CancelDownload("klein-4b")):
        with pytest.raises(WorkerError, match="klein-4b is not being downloaded"):
            await client.ask(refused)
    hub.gone = True
    await client.ask(StartDownload("klein-4b"))
    assert "The Hub has no repository" in (await states_until(client, "failed"))[-1].message


async def test_a_run_waits_for_its_model_and_begins_when_it_is_here(home: Home, hub: Hub) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=2", model="klein-4b")))).run
    await states_until(client, "downloading")
    hub.pace = 0.0
    heard = await events_until(client, ev.RunFinished, run=run)
    kinds = [type(event) for event in heard]
    last = of_type(heard, ev.DownloadProgress)[-1]
    assert last.state == "finished"
    assert kinds.index(ev.RunStarted) > max(place for place, kind in enumerate(kinds) if kind is ev.DownloadProgress)


async def test_a_run_cancelled_while_its_model_comes_ends_the_download(home: Home, hub: Hub) -> None:
    client = await home.attach()
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=2", model="klein-4b")))).run
    await states_until(client, "downloading")
    await client.ask(Cancel(run))
    heard = await events_until(client, ev.RunCancelled, run=run)
    if not any(event.state == "cancelled" for event in of_type(heard, ev.DownloadProgress)):
        await states_until(client, "cancelled")
    await eventually(lambda: psutil.Process(client.pid).children() == [])
    assert hub.sent[WEIGHTS] < len(hub.files[WEIGHTS])


async def test_a_run_fails_with_the_hubs_sentence(home: Home, hub: Hub) -> None:
    hub.gone = True
    client = await home.attach()
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=2", model="klein-9b")))).run
    heard = await events_until(client, ev.RunFailed, run=run)
    (failed,) = of_type(heard, ev.RunFailed)
    assert failed.message.startswith("black-forest-labs/FLUX.2-klein-9B is gated: accept its licence")


async def test_a_worker_killed_leaves_a_part_that_the_next_one_goes_on_from(home: Home, hub: Hub) -> None:
    client = await home.attach()
    await client.ask(StartDownload("klein-4b"))
    await states_until(client, "downloading")
    (child,) = psutil.Process(client.pid).children()
    os.kill(client.pid, signal.SIGKILL)
    await eventually(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)
    hub.pace = 0.0
    client = await home.attach()
    await client.ask(StartDownload("klein-4b"))
    await states_until(client, "finished")
    assert hub.fetched(f"/storage/{WEIGHTS}")[-1].startswith("bytes=")


async def test_a_model_is_deleted_unless_a_picture_needs_it(home: Home, hub: Hub) -> None:
    hub.pace = 0.0
    client = await home.attach()
    await client.ask(StartDownload("klein-4b"))
    await states_until(client, "finished")
    run = (await client.ask(Enqueue(GenerationRequest(prompt="steps=500", model="klein-4b")))).run
    await events_until(client, ev.RunStarted, run=run)
    with pytest.raises(WorkerError, match="There are pictures to make with klein-4b"):
        await client.ask(DeleteModel("klein-4b"))
    await client.ask(Cancel(run))
    await events_until(client, ev.RunCancelled, run=run)
    while (await next_event(client, ev.QueueChanged)).items:
        pass
    assert (await client.ask(DeleteModel("klein-4b"))).freed > len(hub.files[WEIGHTS])
    await states_until(client, "deleted")
    assert find_local("klein-4b") is None
    with pytest.raises(WorkerError, match="Nothing of klein-4b is in the Hub cache"):
        await client.ask(DeleteModel("klein-4b"))
