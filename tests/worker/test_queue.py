"""The queue as its user works it: reorder, edit, hold, and all of it again after the worker's death."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from flux2 import events as ev
from flux2.errors import WorkerError
from flux2.worker.client import connect
from flux2.worker.commands import CountTokens, Enqueue, Hold, Move, Quit, Replace, TokenCount
from tests.worker.home import Home, events_until, eventually, heard_until_lost, next_event, request


async def waiting() -> list[str]:
    """The prompts that wait, as a late-comer is told."""
    late = await connect(watch=False)
    await late.close()
    return [_request(item)["prompt"] for item in late.snapshot.queue if item["state"] == "queued"]


def _request(item: dict[str, Any]) -> dict[str, Any]:
    return dict(item["request"])


async def test_a_waiting_request_changes_places(home: Home) -> None:
    client = await home.attach()
    await client.ask(Enqueue(request("steps=10000")))
    runs = [(await client.ask(Enqueue(request(name)))).run for name in ("one", "two", "three")]
    await client.ask(Move(runs[2], -1))
    assert await waiting() == ["one", "three", "two"]
    await client.ask(Move(runs[2], -100))
    assert await waiting() == ["three", "one", "two"]
    await client.ask(Move(runs[2], 100))
    assert await waiting() == ["one", "two", "three"]


async def test_a_waiting_request_is_replaced_where_it_stands(home: Home) -> None:
    client = await home.attach()
    under_way = (await client.ask(Enqueue(request("steps=10000")))).run
    first, _ = (await client.ask(Enqueue(request("one")))).run, (await client.ask(Enqueue(request("two")))).run
    await client.ask(Replace(first, request("another")))
    assert await waiting() == ["another", "two"]
    with pytest.raises(WorkerError, match="The prompt is empty"):
        await client.ask(Replace(first, request(" ")))
    for gone in (under_way, "no such run"):
        with pytest.raises(WorkerError, match="is not waiting"):
            await client.ask(Replace(gone, request("late")))
        with pytest.raises(WorkerError, match="is not waiting"):
            await client.ask(Move(gone, 1))


async def test_a_held_queue_stops_after_the_run_under_way_and_goes_on(home: Home) -> None:
    client = await home.attach()
    first = (await client.ask(Enqueue(request("steps=30")))).run
    await client.ask(Enqueue(request("waits")))
    await client.ask(Hold(True))
    await events_until(client, ev.RunFinished, run=first)
    changed = await next_event(client, ev.QueueChanged)
    assert (changed.held, [item["state"] for item in changed.items]) == (True, ["queued"])
    await client.ask(Hold(False))
    finished = await next_event(client, ev.RunFinished)
    assert finished.run != first


async def test_order_edits_and_hold_outlive_the_worker(home: Home) -> None:
    client = await home.attach()
    await client.ask(Hold(True))
    runs = [(await client.ask(Enqueue(request(name)))).run for name in ("one", "two", "three")]
    await client.ask(Move(runs[2], -2))
    await client.ask(Replace(runs[0], request("changed")))
    os.kill(client.pid, signal.SIGKILL)
    await heard_until_lost(client)
    again = await home.attach()
    assert again.pid != client.pid
    assert again.snapshot.held
    assert [_request(item)["prompt"] for item in again.snapshot.queue] == ["three", "changed", "two"]
    await again.ask(Hold(False))
    done = [(await next_event(again, ev.RunFinished)).run for _ in runs]
    assert done == [runs[2], runs[0], runs[1]]


async def test_a_worker_that_may_leave_does_not_wait_for_a_held_queue(home: Home) -> None:
    client = await home.attach()
    await client.ask(Hold(True))
    await client.ask(Enqueue(request("waits")))
    await client.ask(Quit())
    await heard_until_lost(client)
    await eventually(lambda: not home.socket.exists())
    again = await home.attach()
    assert [item["state"] for item in again.snapshot.queue] == ["queued"]


async def test_tokens_are_counted_while_a_run_is_under_way(home: Home) -> None:
    client = await home.attach()
    await client.ask(Enqueue(request("steps=10000")))
    assert await client.ask(CountTokens("pocket", "a red fox")) == TokenCount(3, 512)
    assert await client.ask(CountTokens("not-here", "a red fox")) is None


async def test_each_of_many_questions_at_once_has_its_answer(home: Home) -> None:
    client = await home.attach()
    counts = [client.ask(CountTokens("pocket", "fox " * number)) for number in range(1, 20)]
    runs = [client.ask(Enqueue(request(f"steps=1 pause=0 fox {number}"))) for number in range(3)]
    assert await asyncio.gather(*counts) == [TokenCount(number, 512) for number in range(1, 20)]
    assert len({queued.run for queued in await asyncio.gather(*runs)}) == 3
