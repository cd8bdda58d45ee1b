"""No test reads or writes what belongs to the person who runs it: pytest's processes share a home of their own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile

_ELSEWHERE = (
    *("FLUX2_HOME", "FLUX2_OUTPUT", "FLUX2_LORAS", "FLUX2_WEIGHTS", "HF_HOME", "HF_HUB_CACHE"),
    *("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_PICTURES_DIR"),
)
"""Variables that would lead out of it."""
_made = ""

# Before a test module is imported, for MLX's libraries are put into the cache folder with that.
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ["HOME"] = _made = tempfile.mkdtemp(prefix="flux2-home-")
    for name in _ELSEWHERE:
        os.environ.pop(name, None)

# What a shell with & or nohup has its programs ignore, ours ignore, too, and the tests send it.
for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_unconfigure() -> None:
    if _made:
        shutil.rmtree(_made, ignore_errors=True)
