"""A home of its own for every test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.worker.home import ROOT, Home


@pytest.fixture
async def home(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Home]:
    # Not tmp_path: a socket's address must be short.
    folder = Path(tempfile.mkdtemp(prefix="flux2-"))
    monkeypatch.setenv("FLUX2_HOME", str(folder))
    monkeypatch.setenv("FLUX2_OUTPUT", str(folder / "pictures"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # for the fake runner
    home = Home(folder)
    yield home
    await home.close()
    shutil.rmtree(folder)
    shutil.rmtree(home.socket.parent, ignore_errors=True)  # which lies elsewhere where the folder's name is long
