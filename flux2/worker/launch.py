"""The worker as a process: starting it, whether it lives, its exit status."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil

from flux2.environment import PLACES
from flux2.errors import WorkerError
from flux2.paths import absolute
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
            # -P: whatever lies in the user's current folder is not imported. UTF-8: names of files come from shells of
            # any locale, as half surrogates where that could not read them.
            child = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-X",
                    "utf8",
                    "-m",
                    "flux2.worker",
                    "--socket",
                    os.fspath(path.absolute()),
                    *arguments,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",  # a disk that the user was on can be ejected while the worker lives
                env=os.environ | {name: absolute(os.environ[name]) for name in PLACES if os.environ.get(name)},
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


def exit_code(pid: int) -> int | None:
    """Exit code of a worker that has ended, minus the signal's number if it died of one; None for another's child."""
    child = _children.get(pid)
    return child.returncode if child else None
