"""The worker's log file: where its stdout and stderr go, and the last lines of it for people."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from flux2.disk.private import make_private
from flux2.humanize import printable
from flux2.paths import state_dir

MAX_BYTES = 1024 * 1024
"""A log larger than this is put aside (one is kept) when the next worker starts."""

_TAIL_BYTES = 64 * 1024


def log_path() -> Path:
    return state_dir() / "worker.log"


def open_log(path: Path) -> int:
    """A descriptor that appends to the log, for `subprocess` or `dup2`; the caller closes it."""
    make_private(path.parent)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def redirect_output(path: Path) -> None:
    """Send this process's stdout and stderr to the log and take its stdin away. Call it with the worker's lock held."""
    if path.exists() and path.stat().st_size > MAX_BYTES:
        path.replace(path.with_suffix(".old.log"))
    log, nothing = open_log(path), os.open(os.devnull, os.O_RDONLY)
    for descriptor, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, target)
    os.close(log)
    os.close(nothing)


def write(level: str, text: str) -> None:
    """Write to the log, or wherever stderr goes. A full disk does not matter here."""
    with contextlib.suppress(OSError):
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {level}: {text}", file=sys.stderr, flush=True)


def write_start(version: str) -> None:
    """The line with which a worker begins its part of the log."""
    write("info", f"worker {os.getpid()} started, version {version}")


def last_lines(path: Path, pid: int | None = None, count: int = 20) -> list[str]:
    """The last lines of the log, those of worker `pid` alone if it began any; safe to print."""
    try:
        with path.open("rb") as log:
            log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
            text = log.read().decode(errors="replace")
    except OSError:
        return []
    lines = [printable(line) for line in text.splitlines()]
    if pid is not None:
        begins = [i for i, line in enumerate(lines) if f" worker {pid} started" in line]
        lines = lines[begins[-1] + 1 :] if begins else lines
    return [line for line in lines if line.strip()][-count:]
