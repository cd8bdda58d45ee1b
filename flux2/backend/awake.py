"""Keeping a Mac awake while a run goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def kept_awake() -> Iterator[None]:
    """No idle sleep meanwhile (`caffeinate -i`); it ends with this process, should that die (`-w`).

    The display may sleep: a lit one makes macOS's watchdog kill long GPU work. Elsewhere nothing is done.
    """
    tool = shutil.which("caffeinate") if sys.platform == "darwin" else None
    if tool is None:
        yield
        return
    caffeinate = subprocess.Popen(
        [tool, "-i", "-w", str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        caffeinate.terminate()
        caffeinate.wait()
