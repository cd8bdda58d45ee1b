"""No timer is without length: one of none or less would compute for ever, and no key would be heard."""

from __future__ import annotations

import asyncio
from time import time

import pytest
from textual.notifications import Notification
from textual.widgets._toast import Toast, ToastHolder

from tests.tui.replay import ReplayBackend
from tests.tui.screen import running, settled, until


async def test_a_screen_opened_while_a_notice_runs_out_goes_on() -> None:
    """The notice is there when the screen asks for it, and past when it is shown."""
    async with running(ReplayBackend()) as (app, pilot):
        old = Notification("old", timeout=1.0, raised_at=time() - 60)
        toast = Toast(old)
        assert toast._timeout < 0
        await app.screen.mount(ToastHolder(toast))
        await until(pilot, lambda: not app.screen.query(Toast))
        app.dashboard.set_focus(None)
        await pilot.press("question_mark")
        await settled(pilot)
        assert len(app.screen_stack) == 2


@pytest.mark.parametrize("seconds", [0, -1, -1e9])
async def test_timers_of_no_length_end_and_those_that_repeat_leave_room(seconds: float) -> None:
    async with running(ReplayBackend()) as (app, pilot):
        rung = asyncio.Event()
        app.set_timer(seconds, rung.set)
        repeated = app.set_interval(seconds, lambda: None)
        await until(pilot, rung.is_set)
        repeated.stop()
        await pilot.press("escape")
        assert app.focused is None
