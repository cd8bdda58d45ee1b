"""The worker that dies, does not start, or goes on alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from flux2.paths import state_dir
from flux2.worker.client import WorkerDied, WorkerLeft
from tests.tui.replay import INFO, ReplayBackend, mid_run
from tests.tui.screen import make_app, running, settled, text_of
from tui.choices import load_choices
from tui.worker_backend import in_words

CAT = "a fluffy orange tabby cat"


async def test_a_dead_worker_is_noticed_within_a_second_and_restarted_by_a_key() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press(*CAT)
        backend.die("The worker (process 4711) died: killed by SIGABRT. It last said: libc++abi: terminating")
        await asyncio.sleep(0.5)
        await pilot.pause()
        text = text_of(app)
        assert "worker lost, f5 restarts it" in text
        assert "libc++abi: terminating" in text
        assert "f5 restart worker" in text
        assert "step 7 of 12" in text  # what was seen stays
        await pilot.press("f5")
        await settled(pilot)
        assert backend.restarts == 1
        assert app.session.trouble == ""
        assert app.dashboard.prompt.editor.text == CAT


def test_of_one_that_left_as_it_was_asked_to_the_last_words_go_unsaid() -> None:
    last = ["2026-11-29 09:23:45 info: worker 11395 left"]
    assert in_words(WorkerLeft("The worker left: it was asked to.", last)) == "The worker left: it was asked to."
    assert "It last said" in in_words(WorkerDied("The worker (process 4711) died.", last))


async def test_a_worker_that_another_screen_has_restarted_is_followed() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        backend.die("The worker (process 4711) died: it is gone without a word.")
        await settled(pilot)
        assert "worker lost" in text_of(app)
        backend.started_again.set()
        await settled(pilot)
        assert "worker lost" not in text_of(app)
        assert (app.session.trouble, backend.restarts) == ("", 0)
        backend.die("And again.")
        await settled(pilot)
        assert "worker lost" in text_of(app)


async def test_the_key_that_restarts_it_is_in_the_footer_of_a_small_terminal() -> None:
    backend = mid_run()
    async with running(backend, size=(80, 24)) as (app, pilot):
        backend.die("Gone.")
        app.dashboard.set_focus(None)
        await settled(pilot)
        assert "f5 restart worker" in text_of(app).splitlines()[-1]


async def test_a_worker_that_does_not_start_is_a_sentence() -> None:
    async with running(ReplayBackend(fails="The worker can't be started (No space left on device).")) as (app, pilot):
        assert "No space left on device" in text_of(app)
        await pilot.press("f5")
        await settled(pilot)
        assert "ready" in text_of(app)


async def test_the_worker_may_still_be_warming_up() -> None:
    backend = ReplayBackend(info=replace(INFO, ready=False, device="", memory_limit=0))
    async with running(backend) as (app, pilot):
        assert "worker warming up" in text_of(app)
        backend.feed(INFO)
        await settled(pilot)
        text = text_of(app)
        assert "ready" in text
        assert "M3 Max" in text
        assert "limit 48 GB" in text


async def test_leaving_says_that_the_run_goes_on() -> None:
    backend = mid_run()
    app = make_app(backend)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press(*CAT, "ctrl+q")
        await pilot.pause()
    assert backend.closed
    assert backend.cancelled == []
    assert app.return_code == 0
    assert load_choices(state_dir() / "screen.json").prompt == CAT
