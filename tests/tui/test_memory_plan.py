"""The peak that was planned for each phase, in the memory graph beside what was measured."""

from __future__ import annotations

import re

import pytest

from tests.tui.replay import GB, ReplayBackend, events_of_a_run, mid_run
from tests.tui.screen import running
from tui.app import Flux2App
from tui.terminal.glyphs import ASCII, BLOCK, BRAILLE, Glyphs
from tui.widgets.memory_graph import plot_rows

SIZE = (200, 60)


def plot(app: Flux2App) -> list[str]:
    """The rows of the graph itself."""
    graph = app.dashboard.memory.graph
    return [strip.text for strip in graph._strips[: plot_rows(graph.size.height)]]


def dotted(rows: list[str], form: str) -> list[str]:
    """Those with four dots at one height beside each other, at their end if the form says so."""
    return [row for row in rows if any(re.search(form.format(dot * 4), row) for dot in "⠁⠂⠄⡀")]


@pytest.mark.parametrize(
    ("heights", "lines", "plan", "cell"),
    [
        ([0, 0], [None, None], 2, "⠂"),  # a dot in the cell's left half: a dotted line
        ([1, 1], [None, None], 2, "⣂"),
        ([4, 4], [None, None], 2, "⣽"),  # what was measured is more: a gap
        ([1, 1], [2, 2], 2, "⣒"),  # the peak is as planned
    ],
)
def test_a_cell_of_braille(heights: list[int], lines: list[int | None], plan: int, cell: str) -> None:
    assert BRAILLE.filled(heights, lines, plan) == cell


async def test_of_the_phase_under_way_it_reaches_the_edge_and_of_others_their_end() -> None:
    async with running(mid_run(7), SIZE) as (app, _):
        assert len(dotted(plot(app), "{0}$")) == 1  # denoise's; decode's has no place in time yet
    async with running(ReplayBackend(past=tuple(events_of_a_run(12))), SIZE) as (app, _):
        assert app.session.run is not None
        app.session.run.planned = {"load": 9 * GB, "denoise": 12 * GB, "decode": 16 * GB}
        app.dashboard.memory.show(app.session)
        assert not dotted(plot(app), "{0}$")
        assert len(dotted(plot(app), "{0}")) == 3


@pytest.mark.parametrize("glyphs", [BLOCK, ASCII], ids=lambda glyphs: glyphs.name)
async def test_without_braille_it_is_drawn_where_nothing_else_is(glyphs: Glyphs) -> None:
    async with running(mid_run(7), SIZE, glyphs=glyphs) as (app, _):
        assert [row for row in plot(app) if row.endswith(glyphs.plan * 6)]


async def test_the_scale_has_room_for_all_phases_from_the_beginning() -> None:
    async with running(mid_run(2), SIZE) as (app, _):
        frame = app.dashboard.memory.graph._frame
        assert frame is not None
        assert frame.scale.top > 13.8e9  # decode's plan; the peak so far is 11.2


async def test_without_a_plan_there_is_no_line() -> None:
    async with running(mid_run(7), SIZE) as (app, pilot):
        assert app.session.run is not None
        app.session.run.planned = {}
        app.dashboard.memory.show(app.session)
        await pilot.pause()
        assert not dotted(plot(app), "{0}")
