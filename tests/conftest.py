"""No test reads or writes what belongs to the person who runs it: every process of pytest has a home of its own."""

from __future__ import annotations

import os
import shutil
import tempfile

_HOME = tempfile.mkdtemp(prefix="flux2-home-")
_ELSEWHERE = (
    *("FLUX2_HOME", "FLUX2_OUTPUT", "HF_HOME", "HF_HUB_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"),
    *("XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_PICTURES_DIR"),
)
"""Variables that would lead out of it."""

# Before a test module is imported, for MLX's libraries are put into the cache folder with that.
for name in _ELSEWHERE:
    os.environ.pop(name, None)
os.environ["HOME"] = _HOME


def pytest_unconfigure() -> None:
    shutil.rmtree(_HOME, ignore_errors=True)
