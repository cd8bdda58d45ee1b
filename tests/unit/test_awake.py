"""A Mac is kept awake for as long as a run lasts, and no longer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from flux2.backend import awake
from flux2.cli import main

PROGRAM = """#!/bin/sh
echo "$@" > "$0.called"
exec sleep 60
"""


@pytest.fixture
def caffeinate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tool = tmp_path / "caffeinate"
    tool.write_text(PROGRAM)
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(awake, "sys", SimpleNamespace(platform="darwin"))
    return tmp_path / "caffeinate.called"


def test_caffeinate_runs_meanwhile(caffeinate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **more: started.append(start(*args, **more)) or started[0])
    with pytest.raises(RuntimeError, match="of the run"), awake.kept_awake():
        for _ in range(1000):  # or the comparison below fails
            if caffeinate.exists() and caffeinate.read_text():
                break
            time.sleep(0.01)
        assert caffeinate.read_text().split() == ["-i", "-w", str(os.getpid())]
        assert started[0].poll() is None
        raise RuntimeError("of the run")
    assert started[0].returncode == -signal.SIGTERM


@pytest.mark.skipif(sys.platform == "darwin", reason="there it is started")
def test_nothing_is_started_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a program was started"))
    with awake.kept_awake():
        pass


@pytest.mark.usefixtures("caffeinate")
@pytest.mark.parametrize("command", ["t2i", "quantize", "bench"])
def test_long_commands_keep_awake(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    told: list[str] = []

    class Caffeinate:
        def __init__(self, arguments: list[str], **_: object) -> None:
            told.append(Path(arguments[0]).name)

        def terminate(self) -> None:
            told.append("ended")

        def wait(self) -> None:
            pass

    monkeypatch.setattr(awake, "subprocess", SimpleNamespace(Popen=Caffeinate, DEVNULL=subprocess.DEVNULL))
    tiny = ["--width", "64", "--height", "64", "--steps", "1"]
    arguments = {
        "t2i": ["t2i", "a fox", *tiny, "--output", str(tmp_path / "fox.png")],
        "quantize": ["quantize", "--model", "pocket", "--transformer-quant", "int4"],
        "bench": ["bench", "--model", "pocket", "--part", "encode"],
    }
    assert main(arguments[command]) == 0
    assert told == ["caffeinate", "ended"]
