"""Every test of the screen starts from an empty home, in UTC, without colours or terminals of the machine's own.

Its time is virtual: it passes while the program waits, and only then, so a pause of a second takes none, and means the
same on a machine of any speed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual_time import VirtualLoop, virtual_time


def pytest_asyncio_loop_factories() -> dict[str, type[VirtualLoop]]:
    return {"virtual time": VirtualLoop}


@pytest.fixture(autouse=True)
def clean_surroundings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.setattr("platform.node", lambda: "studio.local")
    for name in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tui.screens.dashboard.COUNT_AFTER", 0.0)
    time.tzset()
    with virtual_time():
        yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path / "pictures"))
    return tmp_path / "pictures"
