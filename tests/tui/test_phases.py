"""What is said of a run's phases, and of its memory against the plan."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flux2 import events as ev
from flux2.progress import RunProgress
from tests.tui.replay import START, ReplayBackend, events_of_a_run, mid_run
from tests.tui.screen import running, settled, text_of
from tui.lines.phase_lines import PhaseLines
from tui.terminal.glyphs import BRAILLE


def rows_of(text: str, *names: str) -> list[list[str]]:
    """The words of these phases' rows."""
    lines = [line.split() for line in text.splitlines()]
    return [next(line for line in lines if line[1:2] == [name] and line[0] in "✓●○") for name in names]


async def test_a_large_screen_has_time_active_and_peak_of_every_phase_against_the_plan() -> None:
    async with running(mid_run(12), size=(200, 60)) as (app, _):
        text = text_of(app)
        encode, denoise, decode, save = rows_of(text, "encode", "denoise", "decode", "save")
        assert encode[2:9] == ["6.00", "s", "0.30", "8.50", "8.60", "-1", "%"]
        assert denoise[2:8] == ["1:12", "5.70", "11.2", "11.3", "-1", "%"]
        assert decode[2:9] == ["5.00", "s", "0.40", "14.7", "13.8", "+7", "%"]
        assert save[2:6] == ["0.40", "s", "0.40", "0.40"]  # which the plan says nothing of


async def test_a_phase_under_way_shows_what_it_has_taken_so_far_and_one_to_come_its_plan() -> None:
    async with running(mid_run(7), size=(200, 60)) as (app, _):
        denoise, decode = rows_of(text_of(app), "denoise", "decode")
        assert denoise[2:7] == ["43.3", "s", "5.80", "11.2", "11.3"]
        assert "%" not in denoise
        assert decode[2] == "13.8"


async def test_a_peak_above_its_plan_stands_out() -> None:
    run = RunProgress(run="r1")
    for event in events_of_a_run():
        run.apply(event)
    table = list(PhaseLines(run, lost=False, glyphs=BRAILLE, now=START).table())
    styles = [line[-1][1] for line in table[1:]]
    assert styles == ["$muted", "$muted", "$muted", "$warning", ""]


@pytest.mark.parametrize(
    ("width", "row"),
    [
        (78, "✓ encode 6.00 s  ✓ load 24.0 s  ✓ denoise 1:12  ✓ decode 5.00 s  ✓ save 0.40 s"),
        (77, "✓ encode 6.0s  ✓ load 24s  ✓ denoise 1:12  ✓ decode 5.0s  ✓ save 0.4s"),
        (58, "encode 6.0  load 24  denoise 1:12  decode 5.0  save 0.4"),
        (48, "✓ encode  ✓ load  ✓ denoise  ✓ decode  ✓ save"),
    ],
)
def test_the_times_of_all_phases_are_said_as_long_as_they_fit(width: int, row: str) -> None:
    run = RunProgress(run="r1")
    for event in events_of_a_run():
        run.apply(event)
    assert "".join(text for text, _ in PhaseLines(run, False, BRAILLE, START).row(width)) == row


def test_a_picture_that_was_saved_hours_after_its_run_leaves_no_phase_open_and_the_runs_time_as_it_was() -> None:
    *events, finished = events_of_a_run()
    saving = [event for event in events if getattr(event, "phase", "") == "save"]
    broken = [event for event in events if event not in saving]
    run = RunProgress(run="r1")
    failed = ev.RunFailed(run="r1", time=finished.time, message="The disk is full.")
    for event in [*broken, saving[0], failed, replace(finished, time=finished.time + 9000)]:
        run.apply(event)
    assert "".join(text for text, _ in PhaseLines(run, False, BRAILLE, START).row(80)).endswith("✓ save")
    assert run.elapsed(now=finished.time + 9999) == pytest.approx(finished.time - START)


async def test_the_plan_stands_beside_the_peak() -> None:
    for size in ((80, 24), (120, 40), (200, 60)):
        async with running(mid_run(7), size=size) as (app, _):
            heading = app.dashboard.memory.heading.detail.plain
            assert "peak 11.2  ⠂ plan 13.8" in heading


async def test_every_figure_of_memory_is_shown_where_the_pane_is_tall() -> None:
    for size in ((120, 40), (200, 60)):
        async with running(mid_run(7), size=size) as (app, _):
            text = text_of(app)
            for figure in ("active 5.80", "peak 11.2", "plan 13.8", "cache 0.80", "process 7.70", "swap 0 GB"):
                assert figure in text, (size, figure)


async def test_more_figures_appear_as_the_terminal_grows() -> None:
    async with running(mid_run(7), size=(80, 24)) as (app, pilot):
        assert "process" not in text_of(app)
        await pilot.resize_terminal(200, 60)
        await settled(pilot)
        assert "process 7.70" in text_of(app)


async def test_the_limit_is_the_users_own_where_they_set_one(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(mid_run(7), size=(120, 40)) as (app, pilot):
        assert "limit 48 GB ↑" in text_of(app)
        monkeypatch.setenv("FLUX2_MEMORY_BUDGET", "12GB")
        await pilot.resize_terminal(121, 40)
        await settled(pilot)
        assert "limit 12 GB " in text_of(app)
        assert "limit 12 GB ↑" not in text_of(app)


async def test_without_a_plan_none_is_shown() -> None:
    past = [event for event in events_of_a_run(7) if not isinstance(event, ev.RunStarted)]
    started = ev.RunStarted(run="r1", time=START, request={"steps": 12}, phases=ev.PHASES_OF_TEXT)
    async with running(ReplayBackend(past=(started, *past)), size=(200, 60)) as (app, _):
        assert "plan " not in app.dashboard.memory.heading.detail.plain
        assert "13.8" not in text_of(app)
