"""A measuring program loses nothing that it has measured, and goes on where one thing fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flux2.bench.recording import Recording, UnavailableError


def fail(error: Exception) -> Any:
    raise error


def test_what_fails_is_recorded_and_told_and_the_file_has_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording({"a": 1}, tmp_path / "report.json")
    assert recording.attempt("first", "loading", lambda: 7) == 7
    assert recording.attempt("second", "loading", lambda: fail(ValueError("no such thing"))) is None
    assert recording.attempt("third", "loading", lambda: fail(UnavailableError("it is not installed"))) is None
    assert json.loads((tmp_path / "report.json").read_text()) == {
        "a": 1,
        "failed": [
            {"what": "second", "doing": "loading", "error": "ValueError: no such thing"},
            {"what": "third", "doing": "loading", "error": "it is not installed"},
        ],
    }
    told = capsys.readouterr().err
    assert "first: loading took 0.0 s" in told
    assert "third is left out: it is not installed." in told


def test_a_key_pressed_to_stop_it_stops_it() -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Recording({}).attempt("all", "measuring", stop)


def test_lines_say_when_they_were_told(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter((100.0, 112.34))
    Recording({}, clock=lambda: next(times)).say("half done")
    assert capsys.readouterr().err == "flux2:   12.3 s: half done\n"


def test_is_over_when_its_time_is_up() -> None:
    times = iter((100.0, 109.9, 110.0))
    recording = Recording({}, seconds=10, clock=lambda: next(times))
    assert [recording.is_over(), recording.is_over()] == [False, True]
    assert not Recording({}).is_over()
