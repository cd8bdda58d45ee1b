"""The screen's side of the worker: attach to it (or start it), watch, ask. For asyncio; never imports MLX.

    client = await connect_or_start()
    client.worker                       # WorkerInfo: pid, device, memory limit; kept up to date
    client.snapshot                     # Snapshot: queue, the last runs with their events, log, as of now
    run = (await client.ask(Enqueue(GenerationRequest(prompt="a red fox")))).run  # a command of flux2.worker.commands
    async for event in client.events(): # every flux2.events.Event after the snapshot, in order
        ...
    await client.close()                # the worker and its run go on

`events()` ends after `close()`, and raises `WorkerLost` when the worker is gone: `WorkerDied` (it crashed or was
killed) or `WorkerLeft` (it was stopped, or idle for long). `connect_or_start()` starts it again. What the worker
refuses is raised as `WorkerError`, one sentence. `flux2.progress.RunProgress` folds a run's events into what a screen
shows. Everything runs on the event loop that connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from flux2 import __version__
from flux2.asker import carried
from flux2.errors import WorkerError, WorkerInTheWay, WorkerNotRunning
from flux2.events import Event
from flux2.paths import socket_path
from flux2.worker import access
from flux2.worker.commands import Answer, Command, read_answer
from flux2.worker.death import (
    WorkerDied,
    WorkerLeft,
    WorkerLost,
    end_in_words,
    exit_in_words,
    out_of_memory_kills,
)
from flux2.worker.launch import exit_code, is_alive, start
from flux2.worker.logfile import last_lines, log_path
from flux2.worker.protocol import (
    PROTOCOL,
    TO_WORKER,
    Ask,
    Decoder,
    Goodbye,
    Happened,
    Hello,
    Message,
    ProtocolError,
    Reply,
    Snapshot,
    WorkerInfo,
    encode,
)

START_TIMEOUT = 120.0
"""Seconds a new worker has to answer, as long as its process lives: a loaded machine takes its time."""

_GREETING_TIMEOUT = 10.0
_REPLY_TIMEOUT = 60.0
_ALIVE_CHECK = 0.5  # seconds between looks at the worker's process
_EXIT_STATUS_WAIT = 0.5  # seconds for a dead child's exit status to be there
_UNREAD_EVENTS = 4096  # beyond which the socket is not read until some have been taken


async def connect_or_start(
    path: Path | None = None, *, watch: bool = True, arguments: Sequence[str] = ()
) -> WorkerClient:
    """Attach to the user's worker; start it first, in a session of its own, where none runs.

    Args:
        path: its socket; `flux2.paths.socket_path()` if None.
        watch: False for a client that only asks and takes no events.
        arguments: further command line arguments for a worker that has to be started.

    Raises:
        WorkerError: one sentence, if it does not start, does not answer, or speaks another protocol.
    """
    path = path or socket_path()
    with contextlib.suppress(WorkerNotRunning):
        return await connect(path, watch=watch)
    child = start(path, arguments)
    deadline = asyncio.get_running_loop().time() + START_TIMEOUT
    while (left := deadline - asyncio.get_running_loop().time()) > 0:
        with contextlib.suppress(WorkerNotRunning):
            return await connect(path, watch=watch, patience=left)
        # Where two screens start a worker each, one of the two leaves at once and both attach to the other.
        if child.poll() not in (None, access.EXIT_ALREADY_RUNS):
            raise WorkerDied(
                f"The worker did not start ({exit_in_words(child.returncode)}).", last_lines(log_path(), child.pid)
            )
        await asyncio.sleep(0.02)
    raise WorkerLost(
        f"The worker did not answer within {START_TIMEOUT:.0f} seconds.", last_lines(log_path(), child.pid)
    )


async def connect(path: Path | None = None, *, watch: bool = True, patience: float = _GREETING_TIMEOUT) -> WorkerClient:
    """Attach to the worker that runs, which has so many seconds to greet.

    Raises:
        WorkerNotRunning: if none does.
        WorkerInTheWay: if it does not answer, or speaks another protocol.
        WorkerError: if its socket can't be used, or it takes nobody any more.
    """
    path = path or socket_path()
    try:
        access.check_private(path.parent)
        reader, writer = await asyncio.open_unix_connection(path)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise WorkerNotRunning("No worker is running; `flux2-tui` starts one.") from error
    except OSError as error:
        raise WorkerError(
            f"The worker's socket {path} can't be used ({error.strerror or error}); "
            "set FLUX2_HOME to a folder of yours."
        ) from error
    try:
        uid = access.peer_uid(writer.get_extra_info("socket"))
        if uid != os.geteuid():
            raise WorkerError(f"The worker at {path} belongs to another user (uid {uid}); set FLUX2_HOME elsewhere.")
        async with asyncio.timeout(patience):
            return await _greet(reader, writer, watch)
    except TimeoutError as error:
        writer.close()
        raise WorkerInTheWay("The worker does not answer; end it with `flux2 worker stop` and try again.") from error
    except ProtocolError as error:
        writer.close()
        raise WorkerInTheWay(f"What listens at {path} is no worker that this program knows: {error}") from error
    except OSError as error:
        raise WorkerNotRunning(f"The worker hung up ({error.strerror or error}).") from error
    except BaseException:
        writer.close()
        raise


class WorkerClient:
    """A connection to the worker; made by `connect_or_start` or `connect`."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, decoder: Decoder, snapshot: Snapshot, pid: int
    ) -> None:
        self.snapshot = snapshot
        self.worker: WorkerInfo = snapshot.worker
        self.pid = pid
        self._reader, self._writer, self._decoder = reader, writer, decoder
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()
        self._room = asyncio.Event()
        self._room.set()
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._last_id = 0
        self._goodbye = ""
        self._refusal = ""
        self._closed = self._killed = False
        self._kills = out_of_memory_kills()
        self._lost: WorkerLost | None = None
        self._tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._look_after_process())]

    # --- watching ----------------------------------------------------------------------------------------------------

    async def events(self) -> AsyncIterator[Event]:
        """What happens from the snapshot on; for one reader. Ends after `close()`.

        Raises:
            WorkerLost: when the worker is gone (`WorkerDied`, `WorkerLeft`), after the last event it sent.
        """
        while (event := await self._events.get()) is not None:
            if self._events.qsize() < _UNREAD_EVENTS // 2:
                self._room.set()
            yield event
        self._events.put_nowait(None)  # for whoever asks again
        if self._lost and not self._closed:
            raise self._lost

    @property
    def lost(self) -> WorkerLost | None:
        """Why the worker is gone; None while it is there."""
        return self._lost

    # --- asking ------------------------------------------------------------------------------------------------------

    async def ask(self, command: Command[Answer]) -> Answer:
        """Have a command carried out; relative paths in it count from this process's folder.

        Raises:
            WorkerError: with the worker's sentence, if it is refused; `WorkerLost` if the worker is gone.
        """
        if self._lost:
            raise self._lost
        number = self._last_id = self._last_id + 1  # others may ask before this is answered
        result: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = result
        asked = Ask(id=number, name=command.name(), arguments=asdict(command.from_here()))
        try:
            self._writer.write(encode(asked, TO_WORKER))
            async with asyncio.timeout(_REPLY_TIMEOUT):
                return read_answer(command, await result)
        except TimeoutError as error:
            raise WorkerError(
                f"The worker has not answered for {_REPLY_TIMEOUT:.0f} seconds and may yet do what it was asked; look "
                "at its queue before you ask again."
            ) from error
        finally:
            self._replies.pop(number, None)

    def kill(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send the worker's process a signal: SIGTERM to let it leave, SIGKILL where it does not."""
        self._killed = number == signal.SIGKILL
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    async def close(self) -> None:
        """Detach. The worker and its run go on."""
        self._closed = True
        await self._end(WorkerLost("The connection was closed."))

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while data := await self._reader.read(256 * 1024):
                for message in self._decoder.feed(data):
                    self._take(message)
                await self._room.wait()
        except ProtocolError as error:
            self._refusal = str(error)
        except OSError:
            pass  # the end, as with an empty read
        await self._end(await self._why_lost())

    def _take(self, message: Message) -> None:
        match message:
            case Happened(event=event):
                self._events.put_nowait(event)
                if self._events.qsize() >= _UNREAD_EVENTS:
                    self._room.clear()
            case WorkerInfo():
                self.worker = message
            case Goodbye():
                self._goodbye = message.reason
            case Reply(id=0):
                self._refusal = message.error
            case Reply() if (answer := self._replies.get(message.id)) and not answer.done():
                if message.error:
                    answer.set_exception(WorkerError(message.error))
                else:
                    answer.set_result(message.result)

    async def _look_after_process(self) -> None:
        """End the connection when the process is gone, should the socket not say so."""
        while is_alive(self.pid):
            await asyncio.sleep(_ALIVE_CHECK)
        await asyncio.sleep(_ALIVE_CHECK)  # the socket's last messages first
        await self._end(await self._why_lost())

    async def _why_lost(self) -> WorkerLost:
        deadline = asyncio.get_running_loop().time() + _EXIT_STATUS_WAIT
        while is_alive(self.pid) and not self._refusal and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        lines = last_lines(Path(self.worker.log), self.pid)
        if self._goodbye:
            return WorkerLeft(f"The worker left: {self._goodbye}.", lines)
        if is_alive(self.pid):
            return WorkerLost(f"The worker dropped this connection: {self._refusal or 'it read too slowly.'}", lines)
        how = "we killed it." if self._killed else end_in_words(exit_code(self.pid), lines, self._kills)
        return WorkerDied(f"The worker (process {self.pid}) died: {how}", lines)

    async def _end(self, lost: WorkerLost) -> None:
        if self._lost:
            return
        self._lost = lost
        for answer in self._replies.values():
            if not answer.done():
                answer.set_exception(lost)
        self._events.put_nowait(None)
        self._writer.close()
        for task in self._tasks:
            if task is not asyncio.current_task():
                task.cancel()


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, watch: bool) -> WorkerClient:
    ours = Hello(protocol=PROTOCOL, version=__version__, pid=os.getpid(), watch=watch, environment=carried())
    decoder, hello, client = Decoder(), None, None
    while client is None and (data := await reader.read(256 * 1024)):
        for message in decoder.feed(data):
            match message:
                case _ if client:
                    client._take(message)
                case Hello() if message.protocol != PROTOCOL:
                    raise WorkerInTheWay(
                        f"The worker (process {message.pid}, version {message.version}) speaks protocol "
                        f"{message.protocol}, this program (version {__version__}) protocol {PROTOCOL}; "
                        "end it with `flux2 worker stop` and start again."
                    )
                case Hello():
                    hello = message
                    writer.write(encode(ours, TO_WORKER))
                case Reply():
                    raise WorkerError(message.error)
                case Snapshot() if hello:
                    client = WorkerClient(reader, writer, decoder, message, hello.pid)
    if client:
        return client
    raise WorkerNotRunning("The worker closed the connection before it said anything.")


__all__ = [
    "WorkerClient",
    "WorkerDied",
    "WorkerLeft",
    "WorkerLost",
    "WorkerNotRunning",
    "connect",
    "connect_or_start",
    "start",
]
