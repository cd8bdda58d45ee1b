"""What is written to the terminal itself: notices of an end, and the window's title."""

from __future__ import annotations

import pytest

from flux2 import events as ev
from tests.tui.replay import START, Clock, ReplayBackend, events_of_a_run, last_time, mid_run, queue_of
from tests.tui.screen import running, settled
from tests.tui.test_session import session_after
from tui.lines.notices import RESTORE_TITLE, SAVE_TITLE, WindowTitle, notice, title_of


@pytest.mark.parametrize(
    ("kind", "tmux", "written"),
    [
        ("off", "", ""),
        ("bell", "/tmp/tmux", "\a"),
        ("osc9", "", "\x1b]9;Saved: fox.png\a"),
        ("osc777", "", "\x1b]777;notify;Saved;fox.png\a"),
        ("osc9", "/tmp/tmux", "\x1bPtmux;\x1b\x1b]9;Saved: fox.png\a\x1b\\"),
    ],
)
def test_notices(kind: str, tmux: str, written: str) -> None:
    assert notice(kind, "Saved", "fox.png", {"TMUX": tmux}) == written


def test_nothing_in_a_name_ends_a_notice_early() -> None:
    written = notice("osc777", "Saved", "a\x1b]0;evil\a;b\n" + "x" * 500, {})
    assert written.count("\x1b") == written.count("\a") == 1
    assert written.count(";") == 3
    assert len(written) < 200


def test_the_title_says_how_long_still_and_writes_only_what_is_new() -> None:
    session = session_after(events_of_a_run(7))
    assert isinstance(session.clock, Clock)
    session.clock.now = last_time(events_of_a_run(7))
    written: list[str] = []
    title = WindowTitle(written.append)
    title.show(session)
    title.show(session)
    assert len(written) == 1
    assert written[0].startswith(SAVE_TITLE + "\x1b]2;")
    assert "left, step 7 of 12 - flux2-tui" in written[0]
    title.restore()
    title.restore()
    assert written[1:] == [RESTORE_TITLE]
    assert title_of(session_after([])) == "flux2-tui"


@pytest.mark.parametrize(("when", "waiting", "told"), [("queue", (), 1), ("queue", ("two",), 0), ("run", ("two",), 1)])
async def test_an_end_is_told_as_the_settings_want_it(
    when: str, waiting: tuple[str, ...], told: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = mid_run(7)
    async with running(backend) as (app, pilot):
        app.preferences.set("notify", "osc9")
        app.preferences.set("notify_when", when)
        written: list[str] = []
        monkeypatch.setattr(app, "tell_terminal", lambda sequence: written.append(sequence))
        backend.feed(ev.QueueChanged(items=queue_of("one", *waiting)))
        backend.feed(
            ev.RunFinished(run="r1", time=START + 90, path="/x/fox.png", seed=1, seconds=90, peaks={}, timings={})
        )
        await settled(pilot)
        assert [sequence for sequence in written if "]9;" in sequence] == ["\x1b]9;Picture saved: fox.png\a"] * told


async def test_by_default_nothing_is_told() -> None:
    async with running(ReplayBackend()) as (app, _):
        assert app.preferences.settings.notify == "off"
