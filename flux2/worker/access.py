"""Who may reach the worker: its own user, and nobody else; and one worker only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from flux2.disk import private
from flux2.errors import WorkerError

_MACOS_SOL_LOCAL, _MACOS_LOCAL_PEERCRED, _MACOS_LOCAL_PEERPID = 0, 1, 2  # sys/un.h
_XUCRED = struct.Struct("II")  # sys/ucred.h: cr_version, cr_uid, then the groups
_XUCRED_SIZE = 76
_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)


EXIT_ALREADY_RUNS = 3
"""Exit code of a worker that found another."""


class AlreadyRunning(WorkerError):  # noqa: N818 — not a failure: whoever started this worker attaches to the other
    """Another worker of this user holds the lock."""


def make_private(folder: Path) -> None:
    """`flux2.disk.private.make_private`, for the worker's folders.

    Raises:
        WorkerError: if it is not this user's alone, or can't be made.
    """
    try:
        private.make_private(folder)
    except private.NotPrivateError as error:
        raise WorkerError(str(error)) from error
    except OSError as error:
        raise WorkerError(f"{folder} can't be made ({error.strerror}); set FLUX2_HOME to a folder of yours.") from error


def check_private(folder: Path) -> None:
    """`flux2.disk.private.check_private`, for the worker's folders.

    Raises:
        FileNotFoundError: if there is none.
        WorkerError: if it is not this user's alone.
    """
    try:
        private.check_private(folder)
    except private.NotPrivateError as error:
        raise WorkerError(str(error)) from error


def listen(path: Path) -> socket.socket:
    """A listening socket of mode 0600 in a folder of mode 0700. Call it with the lock held: what a dead worker left at
    `path` is removed.

    Raises:
        WorkerError: if the folder is not ours, or something else than a socket lies at `path`.
    """
    make_private(path.parent)
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(path.lstat().st_mode):
            remedy = (
                "set FLUX2_HOME elsewhere"
                if private.is_kept(path)
                else "move it away, so that the worker can listen there"
            )
            raise WorkerError(f"{path} is not a socket; {remedy}.")
        path.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        listener.bind(os.fspath(path))
    except OSError as error:
        raise WorkerError(f"The worker can't listen at {path} ({error.strerror or error}).") from error
    finally:
        os.umask(before)
    listener.listen()
    listener.setblocking(False)
    return listener


def peer_uid(connection: socket.socket) -> int:
    """The user id of the process at the other end, as the kernel knows it."""
    if sys.platform == "darwin":
        credentials = connection.getsockopt(_MACOS_SOL_LOCAL, _MACOS_LOCAL_PEERCRED, _XUCRED_SIZE)
        return int(_XUCRED.unpack_from(credentials)[1])
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    return int(_UCRED.unpack(credentials)[1])


def peer_pid(connection: socket.socket) -> int:
    """The process at the other end, as the kernel knows it."""
    if sys.platform == "darwin":
        return int(connection.getsockopt(_MACOS_SOL_LOCAL, _MACOS_LOCAL_PEERPID))
    return int(_UCRED.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))[0])


def is_answered(path: Path) -> bool:
    """Whether somebody accepts connections at the socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(os.fspath(path))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def only_worker(lock: Path, socket_path: Path, patience: float = 5.0) -> Iterator[None]:
    """Hold the lock that makes this the user's only worker; the kernel lets it go when the process ends.

    A worker that is about to leave holds it a moment longer than its socket: it is waited for, `patience` seconds.

    Raises:
        AlreadyRunning: naming the process that holds it.
        WorkerError: if the lock file can't be opened.
    """
    deadline = time.monotonic() + patience
    while (descriptor := _lock(lock)) is None:
        if is_answered(socket_path) or time.monotonic() > deadline:
            holder = "unknown"
            with contextlib.suppress(OSError):
                holder = lock.read_text(errors="replace").strip() or holder
            raise AlreadyRunning(f"A worker already runs (process {holder}); `flux2 worker stop` ends it.")
        time.sleep(0.02)
    try:
        with contextlib.suppress(OSError):  # a full disk; only the name of the holder is missing then
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int | None:
    """A descriptor that holds the lock; None if another process does."""
    make_private(path.parent)  # prompts lie beside: the queue, the history, the log
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise WorkerError(f"{path} can't be opened ({error.strerror}); set FLUX2_HOME to a folder of yours.") from error
    with contextlib.suppress(BlockingIOError, FileNotFoundError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Not a file that was removed meanwhile, which the next worker would not see.
        if os.path.samestat(os.fstat(descriptor), path.stat()):
            return descriptor
    os.close(descriptor)
    return None
