"""No screen ends, doubles or takes another one with it by clicks and keys that come twice or too late."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from textual.widgets._toast import Toast

from tests.tui.pictures import gallery, made, name_of
from tests.tui.replay import INFO, ReplayBackend, events_of_a_run, left_after
from tests.tui.screen import click, place_of, running, settled, text_of, until, write
from tui.screens import picture_desk
from tui.screens.gallery import GalleryScreen
from tui.screens.viewer import Viewer


def worker() -> ReplayBackend:
    return ReplayBackend(past=tuple(events_of_a_run(7)), unfinished=(left_after(3), left_after(4, "r2")))


LINES = {
    "m": "Klein 4B",
    "n": "qint8",
    "d": "square",
    "t": "Paper",
    "b": "after step 3",
    "comma": "output_name",
}
"""A part of one of a dialog's lines, by the dialog's key."""


async def test_two_clicks_in_one_write_choose_once() -> None:
    async with running(worker()) as (app, pilot):
        app.prompt_history.add("an old one")
        for key, line in (LINES | {"slash": "an old one", "ctrl+p": "Graph window"}).items():
            app.dashboard.set_focus(None)
            app.clear_notifications()
            await pilot.press(key)
            await settled(pilot)
            await until(pilot, lambda: line in text_of(app))  # noqa: B023
            write(app, click(*place_of(app, line), times=2))
            await settled(pilot)
            assert len(app.screen_stack) <= 3
            while app.screen is not app.dashboard:
                await pilot.press("escape")
                await settled(pilot)


async def test_a_command_that_is_clicked_twice_runs_once() -> None:
    backend = replace(worker(), info=replace(INFO, model="pocket bf16"))
    async with running(backend) as (app, pilot):
        app.dashboard.set_focus(None)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: "Free the model" in text_of(app))
        write(app, click(*place_of(app, "Free the model"), times=2))
        await until(pilot, lambda: backend.unloads)
        await settled(pilot)
        assert backend.unloads == 1


async def test_a_double_click_opens_one_menu_and_one_viewer(folder: Path) -> None:
    made(folder, "one", 1)
    async with running(worker()) as (app, pilot):
        write(app, click(*place_of(app, "Steps"), times=2))
        await settled(pilot)
        assert len(app.screen_stack) == 2
        await pilot.press("escape", "escape", "3")
        await until(pilot, lambda: isinstance(app.screen, GalleryScreen) and app.screen.current)
        await settled(pilot)
        write(app, click(*place_of(app, "bf16 pocket 42"), times=2))
        await until(pilot, lambda: isinstance(app.screen, Viewer))
        await settled(pilot)
        assert len(app.screen_stack) == 3


@pytest.mark.parametrize("above", ["question_mark", "delete", "ctrl+p"])
async def test_a_viewer_left_without_pictures_goes_when_it_is_on_top_again(above: str, folder: Path) -> None:
    made(folder, "one", 1)
    made(folder, "two", 2)
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("f", "o", "enter")
        await until(pilot, lambda: isinstance(app.screen, Viewer) and name_of(app.screen) == "two")
        await until(pilot, lambda: len(screen.browser.pictures) == 1)
        viewer = app.screen
        assert isinstance(viewer, Viewer) and viewer.current is not None
        await pilot.press(above)
        await until(pilot, lambda: app.screen is not viewer)
        opened = app.screen
        await picture_desk.toggle_favourite(app, viewer.current)  # no favourite is left
        await until(pilot, lambda: viewer.current is None)
        await settled(pilot)
        assert app.screen is opened
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.press("escape", "escape")
        await until(pilot, lambda: app.screen is app.dashboard)


@pytest.mark.parametrize("times", [2, 3])
async def test_a_notice_may_be_clicked_as_often_as_one_likes(times: int) -> None:
    async with running(worker()) as (app, pilot):
        for number in range(3):
            app.notify(f"notice {number}")
        await until(pilot, lambda: len(app.screen.query(Toast)) >= 3)
        await settled(pilot)
        place = place_of(app, "notice 2")
        write(app, click(*place))
        for _ in range(times):  # before, while and after it goes
            await pilot.pause(0)
            write(app, click(*place))
        await settled(pilot)


@pytest.mark.parametrize(("way", "keys"), [("1", "bcm,e?35"), ("3", "\rcm?")], ids=["dashboard", "gallery"])
async def test_a_key_that_is_typed_twice_at_once_opens_one_screen(way: str, keys: str, folder: Path) -> None:
    made(folder, "one", 1)
    async with running(worker()) as (app, pilot):
        for key in keys:
            app.dashboard.set_focus(None)
            await pilot.press(way)
            await until(pilot, lambda: not isinstance(app.screen, GalleryScreen) or app.screen.current)
            before = len(app.screen_stack)
            write(app, key * 2)
            await settled(pilot)
            assert len(app.screen_stack) <= before + 1, key
            picture_desk.open_dashboard(app)


@pytest.mark.parametrize("key", ["escape", "m"])
async def test_a_click_beyond_a_terminal_that_has_just_shrunk(key: str) -> None:
    async with running(worker(), size=(80, 24)) as (app, pilot):
        await pilot.press("escape", key)
        await settled(pilot)
        shown, focused = app.screen, app.focused
        write(app, click(100, 30))
        await settled(pilot)
        assert (app.screen, app.focused) == (shown, focused)
