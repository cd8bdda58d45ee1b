"""The worker that dies, does not start, or goes on alone."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from flux2 import __version__, asker
from flux2.paths import state_dir
from flux2.worker.client import WorkerDied, WorkerLeft
from flux2.worker.death import in_words
from tests.tui.replay import INFO, ReplayBackend, mid_run
from tests.tui.screen import make_app, running, settled, text_of, until
from tui.screens.confirm import Confirm
from tui.state.choices import load_choices

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


async def test_a_worker_of_another_version_is_named_and_replaced_once_it_is_idle() -> None:
    backend = mid_run()
    backend.info = replace(INFO, version="0.0.9")
    async with running(backend) as (app, pilot):
        text = text_of(app)
        assert "worker 0.0.9: f5" in text
        assert f"The worker is version 0.0.9, this screen {__version__}: f5 replaces it" in app.session.log[-1].message
        await pilot.press("escape", "f5")
        await settled(pilot)
        assert (backend.retired, backend.restarts, backend.cancelled) == (1, 0, [])
        assert "new worker to come" in text_of(app)
        assert "f5" not in text_of(app).splitlines()[-1]
        backend.info = INFO
        backend.die("The worker left: it was asked to.")
        await until(pilot, lambda: backend.restarts == 1)
        await settled(pilot)
        text = text_of(app)
        assert "0.0.9" not in text.splitlines()[0]
        assert "worker lost" not in text


async def test_a_worker_of_another_shell_is_told() -> None:
    theirs = asker.read_once() | {"HF_HOME": "/volume/hub"}
    async with running(ReplayBackend(info=replace(INFO, environment=theirs))) as (app, _):
        assert "other HF_HOME: f5" in text_of(app)
        assert "with another HF_HOME: f5 replaces it" in app.session.log[-1].message
    async with running(ReplayBackend(info=replace(INFO, environment=asker.read_once()))) as (app, _):
        assert app.session.strange is None
        assert "f5" not in text_of(app)


@pytest.mark.parametrize("answer", ["n", "f5"])
async def test_a_worker_in_the_way_is_ended_with_consent_alone(answer: str) -> None:
    backend = ReplayBackend(in_the_way="The worker (process 4711, version 9) speaks protocol 9.")
    async with running(backend) as (app, pilot):
        assert "worker in the way, f5 restarts it" in text_of(app)
        await pilot.press("escape", "f5")
        await until(pilot, lambda: isinstance(app.screen, Confirm))
        assert backend.restarts == 0
        await pilot.press(answer)
        await until(pilot, lambda: app.screen is app.dashboard)
        await settled(pilot)
        assert backend.restarts == (answer == "f5")
        assert ("ready" in text_of(app)) == (answer == "f5")
