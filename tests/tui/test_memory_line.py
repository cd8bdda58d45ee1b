"""What the menus say of memory, and the question before a run that does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flux2.planning.measured_peaks import remember_peaks
from flux2.request import GenerationRequest
from tests.tui.replay import GB, INFO, ReplayBackend
from tests.tui.screen import running, settled, text_of
from tui.lines.memory_line import fit_on_worker
from tui.lines.memory_line import memory_line as styled_line
from tui.screens.menu import Menu
from tui.state.choices import Choices, save_choices
from tui.state.session import Session

SMALL_MAC = replace(INFO, memory_limit=9 * GB)
NINE = Choices(prompt="a cat", model="klein-9b", seed=7, seed_mode="locked")


def memory_line(choices: Choices, session: Session) -> str:
    return styled_line(choices, session).plain


def session_of(limit: int = INFO.memory_limit) -> Session:
    return Session(worker=replace(INFO, memory_limit=limit))


def test_a_line_says_what_is_held_the_peak_and_whether_it_fits() -> None:
    line = memory_line(replace(NINE, quantization="int4"), session_of())
    assert line.startswith("fits          active 5.11 GB, peak ")
    assert line.endswith(" GB predicted")
    assert memory_line(NINE, session_of(SMALL_MAC.memory_limit)).startswith("does not fit  active 18.2 GB")
    streamed = memory_line(replace(NINE, residency="streamed"), session_of())
    assert "reads " in streamed
    assert streamed.endswith(" GB a step")


def test_auto_says_what_it_takes() -> None:
    choices = replace(NINE, quantization="auto", residency="auto")
    assert memory_line(choices, session_of()).startswith("fits          bf16: active 18.2 GB")
    assert memory_line(choices, session_of(SMALL_MAC.memory_limit)).startswith("fits          int5: active 6.24 GB")


def test_nothing_is_said_of_what_nobody_knows() -> None:
    assert memory_line(replace(NINE, model="me/mine"), session_of()) == ""
    assert memory_line(replace(NINE, width=641), session_of()) == ""
    assert memory_line(NINE, Session()).endswith("predicted")  # no worker, so no verdict


def test_what_was_measured_goes_before_what_is_predicted() -> None:
    session, choices = session_of(), replace(NINE, quantization="int4")
    fit = fit_on_worker(choices.request(), session)
    assert fit
    remember_peaks(fit.request, fit.plan, {"encode": GB, "load": 5 * GB, "denoise": 8 * GB})
    assert "predicted" in memory_line(choices, session)  # the decode was never measured
    remember_peaks(fit.request, fit.plan, {"decode": 6 * GB, "encode": 9 * GB, "save": 9 * GB})
    assert "peak 8.00 GB measured" in memory_line(choices, session)
    assert "predicted" in memory_line(replace(choices, width=512, height=512), session)


def test_what_encoding_took_is_known_of_every_level() -> None:
    """A comparison encodes its prompt once; the pictures after the first are measured all the same."""
    session = session_of()
    for level, encoding in (("bf16", {"encode": GB}), ("int4", {})):
        choices = replace(NINE, quantization=level)
        fit = fit_on_worker(choices.request(), session)
        assert fit
        remember_peaks(fit.request, fit.plan, {**encoding, "load": 5 * GB, "denoise": 8 * GB, "decode": 6 * GB})
        assert "peak 8.00 GB measured" in memory_line(choices, session)
    other = replace(NINE, model="klein-4b")
    fit = fit_on_worker(other.request(), session)
    assert fit
    remember_peaks(fit.request, fit.plan, {"load": 5 * GB, "denoise": 8 * GB, "decode": 6 * GB})
    assert "predicted" in memory_line(other, session)


async def test_the_menu_shows_the_memory_of_every_level_and_of_either_residency(tmp_path: Path) -> None:
    save_choices(tmp_path / "screen.json", NINE)
    async with running(ReplayBackend(info=SMALL_MAC), state=tmp_path, size=(100, 30)) as (app, pilot):
        await pilot.press("escape", "n")
        await settled(pilot)
        shown = text_of(app)
        assert "active 18.2 GB" in shown
        assert "active 5.11 GB" in shown
        assert "does not fit" in shown
        assert "r kept or read each step" in shown
        await pilot.press("r")
        await settled(pilot)
        assert app.choices.residency == "streamed"
        shown = text_of(app)
        assert "qint8 streamed" in shown
        assert "a step" in shown
        await pilot.press("q")
        await settled(pilot)
        assert app.choices.level == "qint8 streamed"
        await pilot.press("m")
        await settled(pilot)
        assert text_of(app).count(" GB predicted") >= 6


QUESTIONS: list[tuple[list[str], GenerationRequest | None]] = [
    (["escape"], None),
    (["f"], replace(NINE.request(), force=True)),
    (["1"], replace(NINE.request(), quantization="int6")),
    (["5"], replace(NINE.request(), residency="streamed")),
]


@pytest.mark.parametrize(("answer", "expected"), QUESTIONS)
async def test_a_run_that_does_not_fit_is_questioned(
    tmp_path: Path, answer: list[str], expected: GenerationRequest | None
) -> None:
    save_choices(tmp_path / "screen.json", NINE)
    backend = ReplayBackend(info=SMALL_MAC)
    async with running(backend, state=tmp_path) as (app, pilot):
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert isinstance(app.screen, Menu)
        shown = text_of(app)
        assert "klein-9b bf16 at 1024×1024 does not fit" in shown
        assert "run it all the same" in shown
        assert not backend.enqueued
        await pilot.press(*answer)
        await settled(pilot)
        assert app.screen is app.dashboard
        assert backend.enqueued == ([expected] if expected else [])
        if expected:
            taken = (expected.quantization, expected.residency)
            assert (app.choices.quantization, app.choices.residency) == taken


async def test_a_run_that_fits_or_of_which_nothing_is_known_is_not_questioned(tmp_path: Path) -> None:
    save_choices(tmp_path / "screen.json", replace(NINE, quantization="int4"))
    backend = ReplayBackend(info=SMALL_MAC)
    async with running(backend, state=tmp_path) as (app, pilot):
        await pilot.press("ctrl+j")
        await settled(pilot)
        app.choose(app.choices.with_model("me/mine"))
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert [request.model for request in backend.enqueued] == ["klein-9b", "me/mine"]
