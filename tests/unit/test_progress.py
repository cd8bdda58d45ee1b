"""What a watcher is told of a run, and that its remaining time is honest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux2 import events as ev
from flux2.progress import CANCELLED, FAILED, FINISHED, RUNNING, RunProgress

START = 1000.0
MEMORY = ev.Memory(active=3, peak=5, cache=1)


def _run(steps: list[float], before: float = 3.0, decode: float = 2.0, save: float = 0.5) -> Iterator[ev.Event]:
    """The events of a run that loads for `before` seconds and whose steps take what is said."""
    now, run = START, "r"
    yield ev.RunStarted(run=run, time=now, request={"seed": 7, "steps": len(steps)}, phases=ev.PHASES[1:])
    for phase, taken in (("load", before), ("denoise", sum(steps)), ("decode", decode), ("save", save)):
        began = now
        yield ev.PhaseStarted(run=run, time=began, phase=phase, memory=MEMORY)
        for number, seconds in enumerate(steps, 1) if phase == "denoise" else ():
            now += seconds
            yield ev.StepFinished(
                run=run, time=now, step=number, steps=len(steps), sigma=1 / number, seconds=seconds, memory=MEMORY
            )
        now = began + taken
        yield ev.PhaseFinished(run=run, time=now, phase=phase, started=began, seconds=taken, memory=MEMORY)
    yield ev.RunFinished(run=run, time=now, path="fox.png", seed=7, seconds=now - START, peaks={}, timings={})


def _etas(events: list[ev.Event], tail: float) -> Iterator[tuple[RunProgress, float, float | None]]:
    """Ten times between every two events: the progress, the time, and the remaining time it told."""
    progress = RunProgress(run="r", tail_seconds=tail)
    for event, following in pairwise(events):
        progress.apply(event)
        for tenth in range(10):
            now = event.time + (following.time - event.time) * tenth / 10
            yield progress, now, progress.eta(now)


def test_a_run_from_begin_to_end() -> None:
    progress = RunProgress(run="r")
    for event in _run([4.0, 2.0, 2.0]):
        progress.apply(event)
    assert (progress.state, progress.path, progress.seed) == (FINISHED, "fox.png", 7)
    assert (progress.step, progress.steps, progress.step_seconds) == (3, 3, [4.0, 2.0, 2.0])
    assert progress.seconds == {"load": 3.0, "denoise": 8.0, "decode": 2.0, "save": 0.5}
    assert progress.peaks == dict.fromkeys(progress.seconds, 5) and progress.peak == 5
    assert progress.active == dict.fromkeys(progress.seconds, 3)
    assert progress.elapsed(now=1e9) == 13.5
    assert progress.eta(now=1e9) == 0.0
    assert progress.phase == ""


def test_nothing_is_said_before_it_is_known() -> None:
    events = list(_run([2.0, 2.0]))
    for progress, _, eta in _etas(events, tail=2.5):
        assert (eta is None) == (progress.step == 0)
    for progress, _, eta in _etas(events, tail=0.0):
        assert (eta is None) == (progress.step in (0, 2)), "an unknown decode can't be counted down"


@given(
    pace=st.floats(0.1, 100),
    warm_up=st.floats(1, 10),
    count=st.integers(2, 50),
    decode=st.floats(0.1, 100),
    save=st.floats(0.01, 10),
)
def test_remaining_time_is_exact_at_a_steady_pace(
    pace: float, warm_up: float, count: int, decode: float, save: float
) -> None:
    events = list(_run([pace * warm_up, *[pace] * (count - 1)], decode=decode, save=save))
    end, last = events[-1].time, None
    for progress, now, eta in _etas(events, tail=decode + save):
        if progress.step < 2 or eta is None:
            continue  # the first step's pace is not yet the run's
        assert eta == pytest.approx(end - now, abs=1e-3 * (end - START))
        assert last is None or eta <= last + 1e-6 * end, "a countdown does not count up"
        last = eta


@given(st.lists(st.floats(0.5, 1.5), min_size=8, max_size=40))
def test_remaining_time_of_an_unsteady_run_is_within_the_unsteadiness(steps: list[float]) -> None:
    events = list(_run(steps))
    end = events[-1].time
    for progress, now, eta in _etas(events, tail=2.5):
        if eta is not None:
            left = len(steps) - progress.step + 1
            assert abs(eta - (end - now)) <= left * 1.0 + 1e-6, (
                "steps differ from their median by at most a second each"
            )


@given(st.lists(st.floats(0, 100), max_size=5), st.floats(0, 1e4), st.floats(0, 100))
def test_times_are_never_negative(steps: list[float], now: float, tail: float) -> None:
    progress = RunProgress(run="r", tail_seconds=tail)
    for event in _run(steps):
        progress.apply(event)
        eta = progress.eta(now)
        assert eta is None or eta >= 0
        assert progress.elapsed(now) >= 0


def test_a_stalled_step_does_not_count_below_the_steps_that_follow_it() -> None:
    progress = RunProgress(run="r", tail_seconds=2.5)
    for event in list(_run([2.0] * 4))[:6]:  # two steps are done
        progress.apply(event)
    assert progress.step == 2
    stalled = progress.eta(START + 1000)
    assert stalled == pytest.approx(2.0 + 2.5)


@pytest.mark.parametrize("tail", [0.0, 1.0])
def test_a_decode_that_is_slower_than_the_last_one_or_the_first_is_told_by_how_far_it_is(tail: float) -> None:
    progress = RunProgress(run="r", tail_seconds=tail)
    for event in list(_run([2.0, 2.0], decode=8.0)):
        if isinstance(event, ev.PhaseFinished) and event.phase == "decode":
            break
        progress.apply(event)
    began = progress.phase_started
    progress.apply(ev.PhaseProgress(run="r", time=began + 6, phase="decode", done=3, total=4, unit="stages"))
    assert progress.eta(began + 6) == pytest.approx(2.0)


def test_other_runs_are_ignored() -> None:
    progress = RunProgress(run="other")
    for event in _run([1.0]):
        progress.apply(event)
    assert progress == RunProgress(run="other")


@pytest.mark.parametrize(
    ("event", "state", "error"),
    [
        (ev.RunFailed(run="r", time=START + 9, message="NaN in the latents."), FAILED, "NaN in the latents."),
        (ev.RunCancelled(run="r", time=START + 9), CANCELLED, ""),
    ],
)
def test_other_endings(event: ev.Event, state: str, error: str) -> None:
    progress = RunProgress(run="r")
    for earlier in list(_run([1.0, 1.0]))[:5]:
        progress.apply(earlier)
    assert progress.state == RUNNING and progress.phase == "denoise"
    progress.apply(event)
    assert (progress.state, progress.error, progress.phase) == (state, error, "")
    assert progress.eta(START + 20) == 0.0
    assert progress.elapsed(START + 20) == 9.0


def test_phase_progress_warnings_and_samples() -> None:
    progress = RunProgress(run="r")
    progress.apply(ev.PhaseStarted(run="r", phase="load", memory=MEMORY))
    progress.apply(ev.PhaseProgress(run="r", phase="load", done=3, total=9, unit="tensors"))
    progress.apply(ev.Warned(run="r", message="cut"))
    progress.apply(ev.MemorySampled(run="r", phase="load", memory=ev.Memory(active=8, peak=9, cache=0)))
    assert (progress.phase_done, progress.phase_total, progress.phase_unit) == (3, 9, "tensors")
    assert progress.warnings == ["cut"]
    assert progress.memory is not None and (progress.memory.active, progress.peak) == (8, 9)
    progress.apply(ev.PhaseStarted(run="r", phase="denoise", memory=MEMORY))
    assert (progress.phase_done, progress.phase_total, progress.peak) == (0, 0, 9)


def test_a_clock_that_is_set_back_takes_no_time_away() -> None:
    """The clock is an hour behind from the third step on."""
    hour, progress, told = 3600.0, RunProgress(run="r", tail_seconds=2.5), []
    for number, event in enumerate(_run([5.0] * 4)):
        behind = hour if number >= 5 else 0.0
        progress.apply(replace(event, time=event.time - behind))
        told.append(progress.elapsed(event.time - behind))
        if isinstance(event, ev.StepFinished):
            assert progress.eta(event.time - behind + 1.0) == pytest.approx((4 - event.step) * 5.0 + 1.5, abs=5.1)
    assert told == sorted(told)
    assert told[-1] == pytest.approx(25.5, abs=5.1)  # the step in which it was set back may be lost
