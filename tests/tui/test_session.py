"""Events folded into what the screen knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flux2 import events as ev
from flux2.worker.protocol import RunRecord, Snapshot
from tests.tui.replay import GB, INFO, REQUEST, START, Clock, events_of_a_run, memory, queue_of
from tui.state.session import Session, Topic


def session_after(events: list[ev.Event]) -> Session:
    session = Session(Clock())
    session.worker = INFO
    for event in events:
        session.apply(event)
    return session


def test_a_late_comer_sees_what_the_others_see() -> None:
    events = events_of_a_run(7)
    there_from_the_start = session_after(events)
    late = Session(Clock())
    late.attach(Snapshot(worker=INFO, queue=queue_of("a"), runs=(RunRecord(run="r1", events=tuple(events)),)))
    assert late.run == there_from_the_start.run
    assert late.history == there_from_the_start.history
    assert late.preview == there_from_the_start.preview
    assert list(late.log) == list(there_from_the_start.log)
    assert late.running


def test_only_the_newest_of_several_runs_is_drawn() -> None:
    first = [replace(event, run="r0", time=event.time - 1000) for event in events_of_a_run()]
    session = Session(Clock())
    records = (RunRecord(run="r0", events=tuple(first)), RunRecord(run="r1", events=tuple(events_of_a_run(3))))
    session.attach(Snapshot(worker=INFO, runs=records))
    assert session.run is not None
    assert session.run.run == "r1"
    assert session.history.marks[0].time == pytest.approx(0.0)
    assert any("Saved" in line.message for line in session.log)


def test_the_next_run_knows_how_long_the_last_pictures_tail_took() -> None:
    session = session_after(events_of_a_run())
    session.apply(ev.RunStarted(run="r2", time=START + 200, request=dict(REQUEST), phases=ev.PHASES_OF_TEXT))
    assert session.run is not None
    assert session.run.tail_seconds == pytest.approx(5.4)
    other = REQUEST | {"width": 512, "height": 512}
    session.apply(ev.RunStarted(run="r3", time=START + 300, request=other, phases=ev.PHASES_OF_TEXT))
    assert session.run.tail_seconds == 0.0


def test_readings_after_the_end_are_not_the_runs() -> None:
    session = session_after(events_of_a_run())
    ended, peak = session.history.end, session.history.peak
    session.apply(ev.MemorySampled(run="r1", time=START + 5000, phase="", memory=memory(40)))
    assert (session.history.end, session.history.peak) == (ended, peak)
    assert session.memory is not None
    assert session.memory.active == 40 * GB


def test_a_lost_worker_is_said_and_nothing_seen_is_forgotten() -> None:
    session = session_after(events_of_a_run(7))
    topics = session.lose("The worker died: killed by SIGABRT. It last said: libc++abi: terminating")
    assert topics == Topic.EVERYTHING
    assert not session.running
    assert session.worker is None
    assert session.log[-1].level == "error"
    assert session.preview is not None
    assert session.history.peak > 0


def test_events_of_other_runs_change_no_picture() -> None:
    session = session_after(events_of_a_run(3))
    before = session.preview
    session.apply(ev.Preview(run="other", step=1, steps=4, width=8, height=8, png=b"other"))
    assert session.preview is before


def test_waiting_items_are_those_behind_the_running_one() -> None:
    session = session_after([ev.QueueChanged(items=queue_of("a", "b", "c"))])
    assert [item.running for item in session.queue] == [True, False, False]
    assert session.waiting == 2


@pytest.mark.parametrize(
    ("event", "level"),
    [
        (ev.Warned(run="r1", message="The prompt was cut."), "warning"),
        (ev.RunFailed(run="r1", message="A file is truncated."), "error"),
        (ev.RunCancelled(run="r1"), "warning"),
        (ev.Logged(level="info", message="Took the queue up."), "info"),
    ],
)
def test_what_the_user_should_know_is_in_the_log(event: ev.Event, level: str) -> None:
    session = session_after([*events_of_a_run(2), event])
    assert session.log[-1].level == level


@pytest.mark.parametrize(
    "end",
    [
        ev.RunFailed(run="r2", message="The Hub can't be reached.", request=REQUEST | {"seed": 5}),
        ev.RunCancelled(run="r2", request=REQUEST | {"seed": 5}),
    ],
)
def test_a_run_that_ends_before_it_began_takes_the_place_of_the_one_before(end: ev.Event) -> None:
    session = session_after([*events_of_a_run(), end])
    assert session.run is not None
    assert (session.run.run, session.run.seed, session.picture, session.preview) == ("r2", 5, None, None)
    assert not session.running


def test_the_graph_goes_on_where_the_clock_was_set_back() -> None:
    events = events_of_a_run(7)
    behind = [
        replace(event, time=event.time - 3600) if at > len(events) // 2 else event for at, event in enumerate(events)
    ]
    session, there = session_after(behind), session_after(events)
    assert session.history.end == pytest.approx(there.history.end, abs=1.0)
