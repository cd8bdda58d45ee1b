"""Whatever has the focus is seen: nobody writes into a pane that another one covers."""

from __future__ import annotations

import pytest

from tests.tui.replay import ReplayBackend, mid_run
from tests.tui.screen import running, settled


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
