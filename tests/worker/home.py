"""Real workers in a home of their own, and what tests ask of them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from flux2 import events as ev
from flux2.paths import socket_path, state_dir
from flux2.request import GenerationRequest
from flux2.worker import launch
from flux2.worker.client import WorkerClient, WorkerLost, connect, connect_or_start
from flux2.worker.launch import is_alive
from flux2.worker.protocol import RunRecord

AnyEvent = TypeVar("AnyEvent", bound=ev.Event)

ROOT = Path(__file__).parents[2]
RUNNER = ("--runner", "tests.worker.fake_runner:FakeRunner")
PATIENCE = 120.0
"""Seconds that a condition may take on a loaded machine."""


class Home:
    """Where one test's workers live."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients: list[WorkerClient] = []
        self.pids: set[int] = set()

    @property
    def socket(self) -> Path:
        return socket_path()

    @property
    def runs(self) -> Path:
        return state_dir() / "runs"

    async def attach(self, *arguments: str, watch: bool = True, start: bool = True) -> WorkerClient:
        """A new screen. With `start=False` the worker must be there."""
        client = (
            await connect_or_start(watch=watch, arguments=(*RUNNER, *arguments))
            if start
            else await connect(watch=watch)
        )
        self.clients.append(client)
        self.pids.add(client.pid)
        return client

    async def close(self) -> None:
        """Leave no worker behind."""
        for client in self.clients:
            await client.close()
        for pid in self.pids | set(launch._children):
            with contextlib.suppress(ProcessLookupError):
                if is_alive(pid):
                    os.kill(pid, signal.SIGKILL)
                    await eventually(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


def request(script: str = "a fox") -> GenerationRequest:
    """A request whose prompt tells the fake runner what to do."""
    return GenerationRequest(prompt=script)


async def events_until(client: WorkerClient, *ends: type[ev.Event], run: str = "") -> list[ev.Event]:
    """What the client hears, up to and with the first event of one of these types (of this run)."""
    heard: list[ev.Event] = []
    async with asyncio.timeout(PATIENCE):
        async for event in client.events():
            heard.append(event)
            if isinstance(event, ends) and run in ("", event.run):
                return heard
    raise AssertionError(f"the worker left before {ends}: {heard[-3:]}")


async def next_event(client: WorkerClient, kind: type[AnyEvent]) -> AnyEvent:
    """The next event of this type that the client hears."""
    return of_type(await events_until(client, kind), kind)[0]


async def eventually(condition: Callable[[], bool]) -> float:
    """Wait for a condition; the seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, "it did not happen"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


def of_type(events: Iterable[ev.Event], kind: type[AnyEvent], run: str = "") -> list[AnyEvent]:
    return [event for event in events if isinstance(event, kind) and run in ("", event.run)]


async def heard_until_lost(client: WorkerClient) -> tuple[list[ev.Event], WorkerLost]:
    """What the client hears until the worker is gone, and why it is."""
    heard: list[ev.Event] = []
    try:
        async with asyncio.timeout(PATIENCE):
            async for event in client.events():
                heard.append(event)  # noqa: PERF401 — kept although an exception ends the loop
    except WorkerLost as lost:
        return heard, lost
    raise AssertionError("the client was closed")


async def record_of(run: str) -> RunRecord:
    """What a late-comer is told of a run."""
    client = await connect(watch=False)
    await client.close()
    return next(record for record in client.snapshot.runs if record.run == run)
