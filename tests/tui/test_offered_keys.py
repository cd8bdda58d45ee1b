"""A key that is offered does something, and one that would do nothing is not offered."""

from __future__ import annotations

import re
from pathlib import Path

from tests.tui.pictures import comparing, gallery, made
from tests.tui.replay import ReplayBackend, events_of_a_run, queue_of
from tests.tui.screen import running, settled, text_of, until
from tui.app import Flux2App
from tui.screens.commands import commands_of
from tui.screens.viewer import Viewer
from tui.widgets.queue_pane import QueueList


def footer(app: Flux2App) -> str:
    return text_of(app).splitlines()[-1]


async def test_enter_and_escape_act_in_every_pane() -> None:
    async with running(ReplayBackend(past=tuple(events_of_a_run(7)), queue=queue_of("one", "two"))) as (app, pilot):
        dashboard = app.dashboard
        for pane in (dashboard.memory, dashboard.preview, dashboard.progress, dashboard.log_pane.lines):
            pane.focus()
            await settled(pilot)
            assert "enter prompt" in footer(app)
            await pilot.press("enter")
            assert app.focused is dashboard.prompt.editor
        for pane in (*dashboard.panes, dashboard.settings.form, dashboard.query_one(QueueList)):
            if pane.focusable:
                pane.focus()
                await pilot.press("escape")
                assert app.focused is None, pane


async def test_a_queued_picture_moves_only_where_it_can() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(7)), queue=queue_of("one", "two", "three", "four"))
    async with running(backend) as (app, pilot):
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        for place, offered in {1: (False, True), 2: (True, True), 3: (True, False)}.items():
            queue.highlighted = place
            await settled(pilot)
            assert ("+ sooner" in footer(app), "- later" in footer(app)) == offered
            assert "del remove" in footer(app)


async def test_the_viewer_offers_neighbours_that_are_there(folder: Path) -> None:
    made(folder, "one", 1)
    made(folder, "two", 2)
    async with gallery(size=(160, 40)) as (screen, pilot):
        app = screen.app
        assert isinstance(app, Flux2App)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Viewer))
        await until(pilot, lambda: ("older" in footer(app), "newer" in footer(app)) == (True, False))
        await pilot.press("right")
        await until(pilot, lambda: ("older" in footer(app), "newer" in footer(app)) == (False, True))
        await pilot.press("z")
        await until(pilot, lambda: ("older" in footer(app), "newer" in footer(app)) == (True, True))  # both move it


async def test_the_reference_is_not_compared_with_itself(folder: Path) -> None:
    for number, level in enumerate(("bf16", "qint8", "int4")):
        made(folder, level, 9 - number, quantization=level, color=(100 + number, 100, 100))
    async with gallery() as (screen, pilot):
        await pilot.press("c")
        compared = await comparing(pilot, 3)
        assert compared.check_action("flicker", ())
        await pilot.press("left")
        await settled(pilot)
        assert not compared.check_action("flicker", ())
        assert "flicker" not in text_of(screen.app).splitlines()[-1]  # type: ignore[arg-type]


async def test_commands_of_a_picture_without_settings_are_those_that_act(folder: Path) -> None:
    from PIL import Image

    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "plain.png")
    async with gallery() as (screen, pilot):
        await until(pilot, lambda: screen.current)
        names = [command.title for command in commands_of(screen.app, screen)]  # type: ignore[arg-type]
        assert "Copy path" in names
        assert not {"Copy prompt", "Copy seed", "Compare"} & set(names)


async def test_the_help_names_what_can_be_changed() -> None:
    """Keys by the names that `[keys]` of the settings takes."""
    for size in ((80, 24), (120, 40)):
        async with running(ReplayBackend(), size) as (app, pilot):
            app.dashboard.set_focus(None)
            await pilot.press("question_mark")
            await settled(pilot)
            shown = text_of(app)
            assert re.search(r"without asking[\s│▁-█]+cancel\s", shown)
            assert "for [keys] in settings.toml" in shown
