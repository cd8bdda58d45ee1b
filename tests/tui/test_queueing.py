"""The queue's lines: what tells one picture from the next, and when each will be done."""

from __future__ import annotations

import re

import pytest
from rich.cells import cell_len

from flux2 import events as ev
from tests.tui.replay import REQUEST, mid_run, queue_of
from tests.tui.screen import running, settled, text_of
from tui.state.run_times import RunTimes
from tui.widgets.queue_pane import QueueList


async def test_each_waiting_item_says_when_it_will_be_done() -> None:
    backend = mid_run(7)
    async with running(backend) as (app, pilot):
        app.session.run_times.learn(REQUEST | {"steps": 12}, 100.0, 72.0)
        backend.feed(ev.QueueChanged(items=queue_of("one", "two", "three")))
        await settled(pilot)
        ends = app.session.waiting_ends()
        assert ends[0] is not None
        assert ends[1] is not None
        assert ends[1] - ends[0] == pytest.approx(28.0 + 12 * app.session.run.median_step)  # as fast as this one
        assert "  in " in text_of(app)


async def test_items_of_a_first_run_s_kind_have_their_time_from_its_second_step_on() -> None:
    backend = mid_run(2)
    async with running(backend) as (app, pilot):
        backend.feed(ev.QueueChanged(items=queue_of("one", "two")))
        await settled(pilot)
        run = app.session.run
        assert run is not None
        assert run.median_step is not None
        assert app.session.waiting_ends() == [
            pytest.approx(run.eta(app.session.now) + 30.0 + 12 * run.median_step)  # 30: encode and load
        ]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_three_pictures_of_one_prompt_can_be_told_apart(size: tuple[int, int]) -> None:
    backend = mid_run(7)
    items = queue_of(*[str(REQUEST["prompt"])] * 3)
    for item in items:
        item["request"] = {**item["request"], "width": None, "height": None}  # type: ignore[dict-item]
    async with running(backend, size=size) as (app, pilot):
        backend.feed(ev.QueueChanged(items=items))
        await settled(pilot)
        wide = size != (120, 40)  # where it lies beside the log
        lines = [line for line in text_of(app).splitlines() if "a fluffy" in line and "seed 123" in line]
        assert [f"seed {seed}" in line for seed, line in zip((1234, 1235, 1236), lines, strict=True)] == [True] * 3
        assert all(("int4  1024×1024" in line) is wide for line in lines)  # the model's own size
        assert all(" in " in line for line in lines[1:])
        assert not any("steps" in line or "klein" in line for line in lines)  # the same for all


async def test_a_long_queue_says_of_each_when_it_will_be_done() -> None:
    backend = mid_run(7)
    async with running(backend, size=(120, 40)) as (app, pilot):
        backend.feed(ev.QueueChanged(items=queue_of(*[f"fox {number}" for number in range(12)])))
        await settled(pilot)
        lines = [line for line in text_of(app).splitlines() if "fox " in line]
        assert len(lines) > 4
        assert all(re.search(r" in \d+:\d\d", line) for line in lines[1:]), lines


async def test_what_differs_between_waiting_pictures_is_shown() -> None:
    backend = mid_run(7)
    items = queue_of("日本の狐が雪の中で眠っている", "🦊 fox", "three")
    items[2]["request"] = {**items[2]["request"], "model": "pocket", "steps": 8}  # type: ignore[dict-item]
    async with running(backend, size=(200, 60)) as (app, pilot):
        backend.feed(ev.QueueChanged(items=items))
        await settled(pilot)
        queue = app.dashboard.query_one(QueueList)
        lines = [queue.get_option_at_index(place).prompt for place in range(3)]
        assert len({cell_len(str(line)) for line in lines}) == 1  # the columns stand below each other
        assert "pocket   8 steps" in str(lines[2])


async def test_a_held_queue_says_so_and_how_it_goes_on() -> None:
    backend = mid_run(7)
    async with running(backend) as (app, pilot):
        backend.feed(ev.QueueChanged(items=queue_of("one", "two"), held=True))
        await settled(pilot)
        assert "held: h lets them go on" in text_of(app)
        await pilot.press("escape", "h")
        await settled(pilot)
        assert backend.held == [False]


def test_run_times_know_what_they_saw_and_nothing_else() -> None:
    times = RunTimes()
    times.learn(REQUEST, 100.0, 72.0)
    assert times.estimate(REQUEST) == pytest.approx(100.0)
    assert times.estimate(REQUEST | {"steps": 24}) == pytest.approx(172.0)
    assert times.estimate(REQUEST | {"width": None, "height": None}) == pytest.approx(100.0)
    assert times.estimate(REQUEST | {"width": 512}) is None
    assert times.estimate(REQUEST | {"quantization": "bf16"}) is None
    assert times.estimate(REQUEST | {"steps": None}) == pytest.approx(28.0 + 4 * 6.0)
    assert times.estimate(REQUEST | {"steps": None, "model": "me/mine"}) is None
