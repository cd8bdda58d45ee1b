"""Whatever has the focus is seen, and takes the keys that are offered beside it: nobody writes where nobody looks."""

from __future__ import annotations

import pytest

from tests.tui.pictures import gallery
from tests.tui.replay import ReplayBackend, mid_run
from tests.tui.screen import running, settled
from tui.terminal.inside_textual import character_of


@pytest.mark.parametrize("alone", ["2", "4", "z"])
async def test_editing_the_prompt_ends_a_pane_alone(alone: str) -> None:
    async with running(mid_run()) as (app, pilot):
        await pilot.press("escape", alone)
        await settled(pilot)
        assert app.dashboard.has_class("-alone")
        await pilot.press("enter", "x")
        await settled(pilot)
        assert app.dashboard.prompt.editor.text.endswith("x")
        assert not app.dashboard.has_class("-alone")
        assert app.dashboard.prompt.editor.size.area


async def test_a_pane_alone_stays_alone_with_the_focus() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("z")  # typed into the prompt
        await pilot.press("escape", "4")
        app.dashboard.log_pane.focus()
        await settled(pilot)
        assert app.dashboard.log_pane.has_class("-shown")


@pytest.mark.parametrize(("key", "sign"), [("slash", "/"), ("plus", "+"), ("minus", "-"), ("comma", ","), ("o", "o")])
def test_what_a_key_writes_is_known(key: str, sign: str) -> None:
    assert character_of(key) == sign


@pytest.mark.parametrize("key", ["up", "ctrl+r", "f1", "home"])
def test_keys_that_write_nothing(key: str) -> None:
    assert character_of(key) is None


async def test_a_field_offers_no_key_that_it_takes_as_text() -> None:
    async with gallery() as (screen, pilot):
        await pilot.press("slash")
        await settled(pilot)
        assert screen.filter.has_focus
        assert "slash" not in screen.active_bindings
