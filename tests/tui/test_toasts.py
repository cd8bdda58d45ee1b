"""Notices above the screen: what is taken away before its time leaves nothing behind."""

from __future__ import annotations

from textual.widget import Widget
from textual.widgets._toast import Toast, ToastRack

from tests.tui.replay import ReplayBackend
from tests.tui.screen import running, settled
from tui.app import Flux2App


def holders(app: Flux2App) -> list[Widget]:
    return list(app.screen.get_child_by_type(ToastRack).children)


async def test_notices_that_are_taken_away_leave_no_holder() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        for number in range(3):
            app.say("info", f"notice {number}")
        await settled(pilot)
        assert len(holders(app)) == 3
        await pilot.press("ctrl+l")
        await settled(pilot)
        assert not holders(app)


async def test_a_notice_that_stays_keeps_its_place_when_others_go() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.say("info", "gone")
        await settled(pilot)
        app.clear_notifications()
        app.say("info", "new")
        await settled(pilot)
        (holder,) = holders(app)
        assert [toast._notification.message for toast in holder.children if isinstance(toast, Toast)] == ["new"]
