"""Making pictures: run, queue, cancel, and what is refused."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from textual.pilot import Pilot

from flux2 import events as ev
from flux2.worker import commands as cmd
from tests.tui.replay import REQUEST, ReplayBackend, events_of_a_run, mid_run, queue_of
from tests.tui.screen import running, settled, text_of, until
from tui.app import Flux2App
from tui.screens.confirm import Confirm
from tui.widgets.queue_pane import QueueList

CAT = "a fluffy orange tabby cat"


@pytest.mark.parametrize("keys", [["ctrl+j"], ["alt+enter"], ["escape", "g"]])
async def test_the_run_keys_send_what_is_chosen(keys: list[str]) -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, quantization="int4", seed_mode="locked", seed=7))
        await pilot.press(*CAT, *keys)
        await settled(pilot)
        request = backend.enqueued[0]
        assert (request.prompt, request.quantization, request.seed) == (CAT, "int4", 7)
        assert app.prompt_history.entries == [CAT]


async def test_while_one_runs_the_next_is_queued() -> None:
    backend = mid_run()
    async with running(backend) as (_, pilot):
        await pilot.press(*"a fox", "ctrl+j")
        await settled(pilot)
        assert [request.prompt for request in backend.enqueued] == ["a fox"]


async def test_plus_one_goes_on_with_the_next_seed() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, seed_mode="+1", seed=41))
        await pilot.press(*"x", "ctrl+j", "ctrl+j")
        await settled(pilot)
        assert [request.seed for request in backend.enqueued] == [41, 42]
        assert app.choices.seed == 43


async def test_an_empty_prompt_is_a_sentence_and_no_run() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert backend.enqueued == []
        assert "The prompt is empty" in app.session.log[-1].message


async def test_what_the_worker_refuses_is_said_and_nothing_typed_is_lost() -> None:
    backend = ReplayBackend(refuses="The queue is full (200 requests wait); remove some or wait.")
    async with running(backend) as (app, pilot):
        await pilot.press(*CAT, "ctrl+j")
        await settled(pilot)
        assert "The queue is full" in text_of(app)
        assert app.dashboard.prompt.editor.text == CAT
        assert app.prompt_history.entries == []


async def ask_to_cancel(app: Flux2App, pilot: Pilot[None]) -> None:
    await pilot.press("escape", "x")
    await settled(pilot)
    assert isinstance(app.screen, Confirm)


async def test_cancel_asks_and_the_same_key_says_yes() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await ask_to_cancel(app, pilot)
        await pilot.press("n")
        await settled(pilot)
        assert backend.cancelled == []
        await pilot.press("x", "x")
        await settled(pilot)
        assert backend.cancelled == ["r1"]


async def test_the_question_goes_with_the_run_that_it_is_about() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await ask_to_cancel(app, pilot)
        backend.feed(ev.RunFinished(run="r1", path="/x/fox.png", seed=1, seconds=1.0, peaks={}, timings={}))
        await until(pilot, lambda: app.screen is app.dashboard)
        assert app.screen is app.dashboard
        assert backend.cancelled == []


async def test_there_is_nothing_to_cancel_between_runs() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "x")
        await settled(pilot)
        assert app.screen is app.dashboard
        assert " cancel" not in text_of(app)


async def test_a_waiting_item_can_be_taken_out() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two", "three"))
    async with running(backend) as (app, pilot):
        assert "2 waiting" in text_of(app)
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        await pilot.press("down", "down", "delete")
        await settled(pilot)
        assert backend.removed == ["r3"]


async def test_the_running_item_is_not_removed_but_cancelled() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two"))
    async with running(backend) as (app, pilot):
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        queue.highlighted = 0
        await pilot.press("delete")
        await settled(pilot)
        assert backend.removed == []


async def test_pressed_three_times_at_once_the_seeds_are_counted_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    honest = ReplayBackend.ask

    async def slowly(self: ReplayBackend, command: cmd.Command[Any]) -> Any:
        await asyncio.sleep(0.1)
        return await honest(self, command)

    monkeypatch.setattr(ReplayBackend, "ask", slowly)
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, seed=7, seed_mode="+1"))
        await pilot.press(*"a fox")
        for _ in range(3):
            app.dashboard.action_run()
        await pilot.pause(0.5)
        await settled(pilot)
        assert [request.seed for request in backend.enqueued] == [7, 8, 9]


async def test_a_run_that_fails_before_it_begins_is_not_taken_for_the_one_before() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run()))
    asked = {**REQUEST, "prompt": "a heron", "seed": 77}
    async with running(backend) as (app, pilot):
        backend.feed(ev.RunFailed(run="r2", message="The Hub can't be reached.", request=asked))
        await settled(pilot)
        text = text_of(app)
        assert "last run failed" in text
        assert "The Hub can't be reached." in text
        assert "done" not in text.split("Log")[0] and "● ready" not in text
        await pilot.press("escape", "r")
        await settled(pilot)
        assert backend.enqueued[0].prompt == "a heron"
