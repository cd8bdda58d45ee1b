"""The worker's socket thread: accepts clients, obeys them, tells them what happens.

The main thread and the sampler call the methods marked so; everything else runs on the thread's own event loop. None of
those calls waits for a client.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import threading
import time
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from flux2 import events as ev
from flux2.errors import Flux2Error, PictureNotSavedError, WorkerError
from flux2.worker import access, logfile
from flux2.worker.command_handlers import CommandHandlers
from flux2.worker.commands import read_command, write_answer
from flux2.worker.connection import Connection, Worth
from flux2.worker.downloads import Downloads
from flux2.worker.journal import Journal
from flux2.worker.protocol import Ask, Happened, Message, ProtocolError, Reply, WorkerInfo, encode
from flux2.worker.recovery import recover
from flux2.worker.runner import Device
from flux2.worker.scheduler import KEPT_RUNS, Scheduler
from flux2.worker.tasks import Task

MAX_CLIENTS = 32
EXIT_BROKEN_OFF = 75
"""Exit code of a worker that left without waiting for the engine (EX_TEMPFAIL of sysexits.h)."""


class Server:
    def __init__(
        self,
        listener: socket.socket,
        info: WorkerInfo,
        journal: Journal,
        *,
        count_tokens: Callable[[str, str], tuple[int, int] | None],
        idle_timeout: float,
        grace: float,
    ) -> None:
        """
        Args:
            count_tokens: as `flux2.worker.runner.Runner.count_tokens`; called in a thread of its own.
            grace: seconds that the engine has to obey a forced cancel or a SIGTERM before the process ends without it.
        """
        self._listener = listener
        self._path = Path(listener.getsockname())
        self._journal = journal
        self._tick_seconds = min(1.0, idle_timeout / 4)
        self._grace = grace
        self._tasks: SimpleQueue[Task] = SimpleQueue()
        self._clients: set[Connection] = set()
        self._scheduler = Scheduler(
            info, journal, give=self._tasks.put, publish=self._publish, idle_timeout=idle_timeout
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="socket", daemon=True)
        self._signals, self.signal_wakeup = socket.socketpair()
        for end in (self._signals, self.signal_wakeup):
            end.setblocking(False)
        self.downloads = Downloads(self.emit)
        self._handlers = CommandHandlers(
            self._scheduler, self.downloads, count_tokens=count_tokens, break_off_later=self._break_off_later
        )

    # --- for the main thread -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def next_task(self) -> Task:
        """Wait for something to do."""
        return self._tasks.get()

    def ready(self, device: Device) -> None:
        """MLX is there."""
        self._call(
            lambda: self._scheduler.update(
                replace(
                    self._scheduler.info,
                    ready=True,
                    device=device.name,
                    memory_limit=device.memory_limit,
                    backend=device.backend,
                )
            )
        )

    def main_is_free(self, model: str) -> None:
        """The main thread asks for its next task; `model` is what it keeps loaded."""
        self._call(self._scheduler.main_is_free, model)

    def emit(self, event: ev.Event) -> None:
        """Tell everybody of an event."""
        self._call(self._scheduler.take, event)

    def keep_picture(self, run: str, error: PictureNotSavedError) -> None:
        """A finished picture could not be saved."""
        self._call(self._scheduler.keep_picture, run, error)

    def close(self) -> None:
        """Let every client have what was sent to it, a second at most, and end the thread."""
        self._call(lambda: self._loop.create_task(self._wind_up()))
        self._thread.join(timeout=5.0)

    # --- for the sampler ---------------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether readings of the meter are of any use now."""
        return bool(self._clients) or self._scheduler.busy

    def sample(self, memory: ev.Memory) -> None:
        self._call(self._scheduler.sample, memory, time.time())

    # --- the thread --------------------------------------------------------------------------------------------------

    def _call(self, function: Callable[..., Any], *arguments: Any) -> None:
        # The loop is closed while the process ends; nobody is left to tell then.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function, *arguments)

    def _run(self) -> None:
        try:
            self._serve_until_closed()
        except BaseException:  # without this thread nobody could ask the process anything, not even to leave
            logfile.write("error", traceback.format_exc())
            os._exit(EXIT_BROKEN_OFF)

    def _serve_until_closed(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._scheduler.recovered(recover(self._journal, KEPT_RUNS))
        self._loop.add_reader(self._signals, self._on_signal)
        self._loop.create_task(self._serve())
        self._next_tick = self._loop.call_later(self._tick_seconds, self._tick)
        self._loop.run_forever()
        self._loop.close()

    async def _serve(self) -> None:
        self._socket_server = await self._loop.create_unix_server(lambda: Connection(self), sock=self._listener)

    async def _wind_up(self) -> None:
        self._hang_up()
        deadline = time.monotonic() + 2.0
        while self._clients and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
        self._journal.close()
        self._loop.stop()

    def _hang_up(self) -> None:
        """Take nobody any more, and let those who are here have what was sent to them."""
        self._next_tick.cancel()  # which would miss the socket, and make it again
        self._socket_server.close()
        with contextlib.suppress(OSError):
            self._path.unlink()
            self._path.parent.rmdir()
        for client in list(self._clients):
            client.close()

    def _tick(self) -> None:
        if not self._path.exists():
            self._on_socket_removed()
        self._scheduler.tick(len(self._clients) + self.downloads.under_way)
        self._next_tick = self._loop.call_later(self._tick_seconds, self._tick)

    def _on_socket_removed(self) -> None:
        """Somebody cleaned up: listen again, or, if the whole state folder is gone, make way for another worker."""
        try:
            if not self._path.parent.parent.is_dir():
                raise WorkerError("its folder was removed")
            self._listener = access.listen(self._path)
            self._socket_server.close()
            self._loop.create_task(self._serve())
        except WorkerError as error:
            self._scheduler.leave(str(error), now=False)

    def _on_signal(self) -> None:
        for number in self._signals.recv(64):
            name = signal.Signals(number).name
            said = f"The run was interrupted: the worker was told to leave by {name}. It can be taken up again."
            self._scheduler.leave(f"it received {name}", now=True, interruption=said)
            self._break_off_later(f"it received {name}", None)

    def _break_off_later(self, reason: str, task: Task | None) -> None:
        """End the process once the engine has had its grace; of a task, only if the engine is still at it."""

        def still_at_it() -> None:
            if task is None or self._scheduler.task is task:
                self._break_off(reason)

        self._loop.call_later(self._grace, still_at_it)

    def _break_off(self, reason: str) -> None:
        """End the process though the engine does not answer."""
        self._scheduler.break_off(f"{reason}; the engine did not answer within {self._grace:g} seconds")
        self._journal.close()
        self._hang_up()
        self._loop.call_later(0.1, os._exit, EXIT_BROKEN_OFF)

    def _publish(self, message: Message) -> None:
        if isinstance(message, Happened) and isinstance(message.event, ev.Logged):
            logfile.write(message.event.level, message.event.message)
        watchers = [client for client in self._clients if client.peer and client.peer.watch]
        if not watchers:
            return
        try:
            frame = encode(message)
        except ProtocolError as error:
            logfile.write("error", f"{type(message).__name__} is not sent: {error}")
            return
        worth = _worth(message.event) if isinstance(message, Happened) else Worth.LASTING
        for client in watchers:
            client.offer(frame, worth)

    # --- connections -------------------------------------------------------------------------------------------------

    def is_full(self) -> bool:
        return len(self._clients) >= MAX_CLIENTS

    def attach(self, connection: Connection) -> None:
        connection.send(self._scheduler.snapshot())
        if goodbye := self._scheduler.last_words():
            connection.send(goodbye)
        self._clients.add(connection)

    def detach(self, connection: Connection, why: str) -> None:
        self._clients.discard(connection)
        self._scheduler.client_left()
        if why:
            self._scheduler.log("warning", f"A client was dropped: {why.rstrip('.')}.")

    def obey(self, connection: Connection, asked: Ask) -> None:
        """Carry a client's command out and answer."""
        try:
            answer = self._handlers.carry_out(read_command(asked.name, asked.arguments), connection.asker)
        except Exception as error:
            connection.send(Reply(id=asked.id, error=_in_words(error)))
            return
        if isinstance(answer, Awaitable):
            self._loop.create_task(self._answer_later(connection, asked, answer))
        else:
            connection.send(Reply(id=asked.id, result=write_answer(answer)))

    @staticmethod
    async def _answer_later(connection: Connection, asked: Ask, answer: Awaitable[Any]) -> None:
        try:
            reply = Reply(id=asked.id, result=write_answer(await answer))
        except Exception as error:
            reply = Reply(id=asked.id, error=_in_words(error))
        connection.send(reply)


def _in_words(error: Exception) -> str:
    """Why a command was not carried out."""
    if isinstance(error, Flux2Error):
        return str(error)
    logfile.write("error", "".join(traceback.format_exception(error)))
    return f"The worker can't do that ({type(error).__name__}: {error}); its log has more."


def _worth(event: ev.Event) -> Worth:
    match event:
        case ev.Preview():
            return Worth.PREVIEW
        case ev.MemorySampled() | ev.DownloadProgress(state="downloading"):
            return Worth.SAMPLE
        case _:
            return Worth.LASTING
