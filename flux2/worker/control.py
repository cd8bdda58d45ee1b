"""Looking at the worker and ending it, for the command line: plain functions that wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from flux2.errors import WorkerError
from flux2.paths import socket_path
from flux2.worker import access
from flux2.worker.client import WorkerNotRunning, connect, connect_or_start
from flux2.worker.commands import Discard, Quit, Resume, SaveAgain
from flux2.worker.death import WorkerLost, in_words
from flux2.worker.launch import is_alive
from flux2.worker.logfile import last_lines, log_path
from flux2.worker.protocol import Snapshot

_Answer = TypeVar("_Answer")


def _told(question: Coroutine[Any, Any, _Answer]) -> _Answer:
    """The answer to a question; a worker that is lost over it, or did not start, is told with what it last wrote.

    Raises:
        WorkerError: as the question.
    """
    try:
        return asyncio.run(question)
    except WorkerLost as lost:
        raise WorkerError(in_words(lost)) from lost


def status(path: Path | None = None) -> Snapshot | None:
    """What the worker is doing; None if none runs.

    Raises:
        WorkerError: if it does not answer, or speaks another protocol.
    """

    async def ask() -> Snapshot:
        client = await connect(path, watch=False)
        await client.close()
        return client.snapshot

    try:
        return _told(ask())
    except WorkerNotRunning:
        return None


def stop(path: Path | None = None, *, patience: float = 10.0) -> bool:
    """End the worker, breaking a run off; what waits in its queue is kept for the next one.

    It is asked first; after `patience` seconds, or where it does not understand, it gets SIGTERM, and at last SIGKILL.

    Returns:
        False if none runs.

    Raises:
        WorkerError: if it is not ours, or survives everything.
    """
    path = path or socket_path()
    pid = _pid(path)
    if pid is None:
        return False

    async def ask() -> None:
        client = await connect(path, watch=False)
        await client.ask(Quit(now=True))
        await client.close()

    with contextlib.suppress(WorkerError):
        _told(ask())
        if _gone(pid, patience):
            return True
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        if _gone(pid, patience):
            return True
    raise WorkerError(f"The worker (process {pid}) can't be ended; the system may be waiting for its device.")


def stop_when_idle(path: Path | None = None) -> bool:
    """Let the worker end once nothing runs or waits; does not wait for that. False if none runs.

    Raises:
        WorkerError: if it does not answer, or speaks another protocol.
    """

    async def ask() -> None:
        client = await connect(path, watch=False)
        await client.ask(Quit())
        await client.close()

    try:
        _told(ask())
    except WorkerNotRunning:
        return False
    return True


def unfinished() -> list[dict[str, Any]]:
    """The runs that broke off, oldest first; a worker is started where none runs.

    Raises:
        WorkerError: if it does not start or answer.
    """

    async def ask() -> list[dict[str, Any]]:
        client = await connect_or_start(watch=False)
        await client.close()
        return list(client.snapshot.unfinished)

    return _told(ask())


def resume(run: str = "", output: str = "") -> str:
    """Take up a run that broke off ("" for the newest), or save its picture, elsewhere if `output` says so.

    Returns:
        What was done, as a sentence.

    Raises:
        WorkerError: if there is no such run, or the picture can't be saved.
    """

    async def ask() -> str:
        client = await connect_or_start(watch=False)
        try:
            left = [item for item in client.snapshot.unfinished if run in ("", item["id"])]
            if not left:
                raise WorkerError(f"Run {run} is not among the unfinished ones." if run else "No run is unfinished.")
            found = left[-1]
            if found["picture"]:
                return f"Saved as {(await client.ask(SaveAgain(found['id'], output))).path}."
            again = (await client.ask(Resume(found["id"]))).run
            where = f"after step {found['step']}" if found["step"] else "from its beginning"
            return f"It goes on {where} as run {again}; `flux2-tui` shows it."
        finally:
            await client.close()

    return _told(ask())


def discard(run: str) -> None:
    """Let a run that broke off go, with what was kept of it.

    Raises:
        WorkerError: if there is no such run.
    """

    async def ask() -> None:
        client = await connect_or_start(watch=False)
        try:
            await client.ask(Discard(run))
        finally:
            await client.close()

    _told(ask())


def log(count: int = 20) -> list[str]:
    """The last lines that a worker wrote, oldest first, safe to print."""
    return last_lines(log_path(), count=count)


def _pid(path: Path) -> int | None:
    """The process that listens, whatever protocol it speaks."""
    try:
        access.check_private(path.parent)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(5.0)
            connection.connect(os.fspath(path))
            return access.peer_pid(connection)
    except (FileNotFoundError, ConnectionRefusedError):
        return None
    except OSError as error:
        raise WorkerError(f"The worker's socket {path} can't be used ({error.strerror or error}).") from error


def _gone(pid: int, patience: float) -> bool:
    deadline = time.monotonic() + patience
    while is_alive(pid):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
