"""The worker as a process: starting it, whether it lives, how it ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from flux2.errors import WorkerError
from flux2.worker.logfile import log_path, open_log

_children: dict[int, subprocess.Popen[bytes]] = {}
"""The workers that this process started, by pid: theirs is the only exit status we can know."""


def start(path: Path, arguments: Sequence[str] = ()) -> subprocess.Popen[bytes]:
    """Start a worker, detached from this terminal, without waiting for its socket.

    Raises:
        WorkerError: if the log can't be written or the process can't be made.
    """
    for pid in [pid for pid, child in _children.items() if child.poll() is not None]:
        del _children[pid]
    try:
        log = open_log(log_path())
        try:
            # -P: whatever lies in the user's current folder is not imported.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "flux2.worker", "--socket", os.fspath(path.absolute()), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except OSError as error:
        raise WorkerError(f"The worker can't be started ({error}).") from error
    _children[child.pid] = child
    return child


def is_alive(pid: int) -> bool:
    """Whether the worker's process runs; one that has ended and that its parent has not yet asked about does not."""
    if child := _children.get(pid):
        return child.poll() is None
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (psutil.NoSuchProcess, psutil.AccessDenied):  # denied: the number is somebody else's by now
        return False


def end_in_words(pid: int, log_lines: Sequence[str]) -> str:
    """How a dead worker ended, as far as can be known, and what to do about it where its log tells."""
    child = _children.get(pid)
    how = "it is gone" if child is None or child.returncode is None else exit_in_words(child.returncode)
    advice = next((advice for sign, advice in _ADVICE.items() if any(sign in line for line in log_lines)), "")
    return f"{how}.{advice}"


def exit_in_words(code: int) -> str:
    """`exit code 1`, or the signal that it died of and what that often means."""
    if code >= 0:
        return f"exit code {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"killed by signal {-code}"
    return f"killed by {number.name}{_SIGNALS_MEAN.get(number, '')}"


_SIGNALS_MEAN = {
    signal.SIGKILL: ", as the system does when memory runs out",
    signal.SIGABRT: ", as MLX does when the device fails",
    signal.SIGSEGV: ", a memory fault",
    signal.SIGBUS: ", often a file that shrank while it was read, or a full disk",
}

_ADVICE = {
    "Impacting Interactivity": " macOS ends long GPU work with the display on: let it sleep, pmset displaysleepnow.",
    "Insufficient Memory": " The device's memory ran out: choose a smaller quantization or size.",
}
