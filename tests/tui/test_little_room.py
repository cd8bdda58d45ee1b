"""Every screen in terminals that are far too small, with every key that moves: none ends it, and it comes back."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import tui
from flux2 import events as ev
from flux2.progress import RunProgress
from tests.tui.pictures import made
from tests.tui.replay import PLANNED, REQUEST, START, ReplayBackend, Story, events_of_a_run, left_after, queue_of
from tests.tui.screen import running, settled, text_of, until, write
from tui.lines.text import room, wrapped
from tui.screens import picture_desk

SIZES = [(1, 1), (28, 10)]
MOVES = "\x1b[6~\x1b[F\x1b[5~\x1b[A\x1b[B"
"""Page down, end, page up, up and down, in one write."""
SCREENS = {
    "dialogs": ("m", "n", "i", "e", "slash", "comma", "question_mark", "ctrl+p"),
    "screens": ("1", "2", "3", "4", "5", "c"),
}


@pytest.mark.parametrize("kind", SCREENS)
async def test_no_terminal_is_too_small(kind: str, folder: Path) -> None:
    made(folder, "one", 1)
    left = (left_after(3), left_after(4, "r2"))
    backend = ReplayBackend(past=tuple(events_of_a_run(7)), queue=queue_of("one", "two", "three"), unfinished=left)
    async with running(backend, (120, 40)) as (app, pilot):
        app.prompt_history.add("an old one")
        for key in SCREENS[kind]:
            await pilot.resize_terminal(120, 40)
            app.dashboard.set_focus(None)
            await pilot.press(key)
            await until(pilot, lambda: app.screen.is_mounted)
            for width, height in SIZES:
                await pilot.resize_terminal(width, height)
                write(app, MOVES)
                await pilot.pause()
            if key == "3":
                await pilot.press("enter", "question_mark", "pagedown", "z", "i")
            picture_desk.open_dashboard(app)
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "ctrl+j run" in text_of(app))


async def test_the_help_is_readable_in_a_narrow_terminal() -> None:
    async with running(ReplayBackend(), (28, 30)) as (app, pilot):
        app.dashboard.set_focus(None)
        await pilot.press("question_mark")
        await settled(pilot)
        assert "Make the picture" in " ".join(text_of(app).split()).replace("│ ", "").replace(" │", "")


def resumed(after: int = 3, *, steps: int = 12) -> list[ev.Event]:
    """A run that was taken up after so many steps, none of which this worker has seen."""
    story = Story([])
    story.add(
        ev.RunStarted, request=REQUEST | {"steps": steps}, phases=ev.PHASES_OF_TEXT, planned=PLANNED, first_step=after
    )
    story.begin("denoise", 5.7)
    return story.events


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
async def test_a_run_that_was_taken_up_is_shown_before_its_next_step(size: tuple[int, int]) -> None:
    async with running(ReplayBackend(past=tuple(resumed())), size) as (app, pilot):
        await settled(pilot)
        assert "step 4 of 12" in text_of(app)


def test_a_run_of_which_no_step_was_seen_has_no_last_one() -> None:
    run = RunProgress("r1")
    for event in resumed():
        run.apply(event)
    assert (run.step, run.last_step, run.median_step, run.eta(START + 5)) == (3, None, None, None)


@pytest.mark.parametrize("width", range(-3, 4))
def test_text_of_any_width_comes_to_an_end(width: int) -> None:
    assert "".join(wrapped("a 漢字 path/of/some-name", width)).replace(" ", "") == "a漢字path/of/some-name"
    assert room(width, 2, 5) == 1


# --- in the sources --------------------------------------------------------------------------------------------------

MEASURES = {"width", "height", "columns", "cell_length"}
CHECKED = {
    "axis.py": "a row of the plot, between 0 and the last",
    "memory_history.py": "times, and a number of columns",
    "memory_graph.py": "only where there is room for its axis and three rows",
    "picture_view.py": "pixels of a picture, clamped",
    "picture_browser.py": "rows of a cell of fixed size",
    "compare.py": "the last of its columns, of which there is one at least",
    "mask_board.py": "cells of the board, of which it has one at least each way, and never below 0",
    "cell_picture.py": "halved, and never below 0",
    "prompt_pane.py": "the last line of a document, which has one at least",
    "text.py": "the function itself",
}
"""Why a result can't be too small, by the module that subtracts from a width or height by itself."""


def test_widths_and_heights_are_subtracted_from_by_one_function() -> None:
    for path in sorted(Path(tui.__file__).parent.rglob("*.py")):
        found = [
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub) and _measures(node.left)
        ]
        assert not found or path.name in CHECKED, f"{path}: {found}: take tui.lines.text.room"


def _measures(node: ast.expr) -> bool:
    names = {part.attr for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    names |= {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
    return bool(names & MEASURES)
