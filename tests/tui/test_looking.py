"""Panes alone, the graph's window, themes, help, the palette and the footer."""

from __future__ import annotations

import pytest

from flux2.paths import state_dir
from flux2.settings import settings
from tests.tui.replay import ReplayBackend, events_of_a_run, mid_run, queue_of
from tests.tui.screen import running, settled, text_of
from tui.keys.keymap import KEYS
from tui.screens.help import Help
from tui.screens.menu import Menu


@pytest.mark.parametrize("place", range(1, 7))
async def test_any_pane_is_reached_by_keys_maximized_and_explained(place: int) -> None:
    backend = mid_run()
    backend.queue = queue_of("one", "two")
    async with running(backend) as (app, pilot):
        shown = [pane for pane in app.dashboard.panes if pane.display]  # the one of pictures handed in has none
        await pilot.press(*["tab"] * place)
        await settled(pilot)
        (pane,) = [pane for pane in app.dashboard.panes if pane.has_focus_within]
        assert pane is shown[place]
        await pilot.press("f1")
        await settled(pilot)
        assert " ".join(pane.HELP.split()[:6]) in " ".join(text_of(app).replace("│", " ").split())
        await pilot.press("escape")
        await pilot.press("z")
        await settled(pilot)
        assert [other for other in app.dashboard.panes if other.display] == [pane]
        assert pane.size.height > 35
        await pilot.press("z")
        await settled(pilot)
        assert [other for other in app.dashboard.panes if other.display] == shown


async def test_one_pane_alone_and_back() -> None:
    async with running(mid_run(), size=(80, 24)) as (app, pilot):
        await pilot.press("escape", "2")
        await settled(pilot)
        text = text_of(app)
        assert "Preview" in text
        assert "Memory" not in text
        await pilot.press("4")
        await settled(pilot)
        assert "step 1 of 12: " in text_of(app)
        await pilot.press("1")
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_the_focused_pane_is_maximized() -> None:
    async with running(mid_run(), size=(80, 24)) as (app, pilot):
        app.dashboard.log_pane.lines.focus()
        await pilot.press("z")
        await settled(pilot)
        assert "Memory" not in text_of(app)
        await pilot.press("z")
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_the_graph_shows_the_whole_run_or_its_last_two_minutes() -> None:
    async with running(ReplayBackend(past=tuple(events_of_a_run(40, 60)))) as (app, pilot):
        assert "0:00" in text_of(app)
        await pilot.press("escape", "w")
        await settled(pilot)
        text = text_of(app)
        assert "Memory, 2 min" in text
        assert " 0:00 " not in text
        await pilot.press("w")
        await settled(pilot)
        assert "0:00" in text_of(app)


async def test_a_refused_theme_leaves_no_colour_in_the_graph() -> None:
    async with running(mid_run()) as (app, pilot):
        graph = app.dashboard.memory.graph
        before = [list(strip) for strip in graph._strips]
        await pilot.press("escape", "t", "down", "down")
        await settled(pilot)
        assert [list(strip) for strip in graph._strips] != before
        await pilot.press("escape")
        await settled(pilot)
        assert [list(strip) for strip in graph._strips] == before


async def test_the_theme_menu_previews_and_can_be_refused() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "t")
        await settled(pilot)
        await pilot.press("down")
        await settled(pilot)
        previewed = app.theme
        assert previewed != "midnight"
        await pilot.press("escape")
        await settled(pilot)
        assert app.theme == "midnight"
        await pilot.press("t")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert app.theme == settings().theme == previewed


async def test_an_unknown_theme_is_said_and_the_usual_one_worn() -> None:
    async with running(ReplayBackend(), theme="mauve") as (app, _):
        assert app.theme == "midnight"
        assert any("There is no theme 'mauve'" in toast.message for toast in app._notifications)


async def test_broken_theme_files_are_listed_once() -> None:
    folder = state_dir().parent / "config" / "themes"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.toml").write_text("title =")
    async with running(ReplayBackend()) as (app, _):
        toasts = [toast.message for toast in app._notifications]
        assert len(toasts) == 1
        assert "one.toml" in toasts[0]
        assert "two.toml" in toasts[0]


@pytest.mark.parametrize("key", ["question_mark", "f1"])
async def test_help_lists_every_key(key: str) -> None:
    async with running(ReplayBackend(), size=(120, 100)) as (app, pilot):
        await pilot.press("escape", key)
        await settled(pilot)
        assert isinstance(app.screen, Help)
        text = text_of(app)
        for entry in KEYS:
            assert entry.help in text
        await pilot.press("escape")
        await settled(pilot)
        assert app.screen is app.dashboard


async def test_every_command_is_in_the_palette() -> None:
    async with running(mid_run()) as (app, _):
        names = {command.title for command in app.get_system_commands(app.dashboard)}
        # While the editor has the focus, all is well, nothing is finished, was run before, is kept or broke off.
        hidden = {"Edit prompt", "Restart worker", "Favourite", "Earlier prompts", "Free the model", "Unfinished runs"}
        hidden.add("Compare strengths")  # of a picture with LoRAs
        assert {key.command for key in KEYS if key.command} - hidden <= names


async def test_a_command_of_the_palette_acts() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("ctrl+p")
        await settled(pilot)
        await pilot.press(*"quanti")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, Menu)


async def test_the_footer_shows_only_what_works_now() -> None:
    async with running(mid_run()) as (app, pilot):
        footer = text_of(app).splitlines()[-1]
        assert "ctrl+j run" in footer
        assert "model" not in footer  # a letter is text while the editor has the focus
        await pilot.press("escape")
        await settled(pilot)
        footer = text_of(app).splitlines()[-1]
        for shown in ("ctrl+j run", "x cancel", "m model", "n quant", "? help"):
            assert shown in footer
