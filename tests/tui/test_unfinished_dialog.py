"""Runs that broke off, on the screen: told once, and a key that brings them back."""

from __future__ import annotations

from pathlib import Path

from flux2 import events as ev
from tests.tui.replay import ReplayBackend, left_after
from tests.tui.screen import running, settled, text_of


async def test_a_run_that_broke_off_is_offered_and_taken_up() -> None:
    backend = ReplayBackend(unfinished=(left_after(3),))
    async with running(backend) as (app, pilot):
        await settled(pilot)
        assert app.session.log[-1].message == "A run broke off: b takes it up after step 3 of 12."
        await pilot.press("escape", "b")
        await settled(pilot)
        assert "The worker's process died." in text_of(app)
        await pilot.press("t")
        await settled(pilot)
        assert backend.brought_back == [("resume", "r1")]
        backend.feed(ev.UnfinishedChanged(items=()))
        await settled(pilot)
        await pilot.press("b")
        await settled(pilot)
        assert type(app.screen).__name__ == "Dashboard"


async def test_it_is_offered_once_though_the_worker_comes_back() -> None:
    backend = ReplayBackend(unfinished=(left_after(3),))
    async with running(backend) as (app, pilot):
        await settled(pilot)
        backend.die("The worker left: it was asked to.")
        await settled(pilot)
        await pilot.press("f5")
        await settled(pilot)
        said = "A run broke off: b takes it up after step 3 of 12."
        assert [toast.message for toast in app._notifications].count(said) == 1


async def test_of_several_one_is_chosen_and_can_be_let_go() -> None:
    backend = ReplayBackend(unfinished=(left_after(3), left_after(0, "r2")))
    async with running(backend) as (app, pilot):
        await settled(pilot)
        assert app.session.log[-1].message == "2 runs are unfinished: b shows what can be done."
        await pilot.press("escape", "b")
        await settled(pilot)
        assert "goes on from its beginning" in text_of(app)
        await pilot.press("2")
        await settled(pilot)
        await pilot.press("d")
        await settled(pilot)
        assert backend.brought_back == [("discard", "r1")]


async def test_a_picture_is_saved_again_here_or_elsewhere() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        await settled(pilot)
        backend.feed(ev.UnfinishedChanged(items=(left_after(0, picture="/full/fox\x1b[31m.png"),)))
        await settled(pilot)
        assert "is not saved yet" in app.session.log[-1].message
        await pilot.press("escape", "b")
        await settled(pilot)
        assert "\x1b" not in text_of(app)
        await pilot.press("s")
        await settled(pilot)
        await pilot.press("b")
        await settled(pilot)
        await pilot.press("e")
        await settled(pilot)
        await pilot.press("ctrl+u", *"/tmp/x/", "enter")
        await settled(pilot)
        assert backend.brought_back == [("save", "r1", ""), ("save", "r1", str(Path("/tmp/x")) + "/")]
