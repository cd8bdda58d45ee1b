"""The thread between worker and screen: attach, fold every update into the session, notice an end and a new worker.

Imported after the first frame.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.errors import WorkerError, WorkerInTheWay
from flux2.events import Event
from flux2.worker import control
from flux2.worker.client import (
    START_TIMEOUT,
    WorkerClient,
    WorkerLost,
    WorkerNotRunning,
    connect,
    connect_or_start,
)
from flux2.worker.death import in_words
from tui.state.session import Session, Topic

if TYPE_CHECKING:
    from flux2.worker.commands import Answer, Command
    from flux2.worker.protocol import Snapshot
    from tui.state.worker import Update, Worker

_LOOK_EVERY = 1.0
"""Seconds between looks for a worker that another screen has started."""
_LEAVE_WITHIN = 3.0
"""Seconds that a worker has to leave before it is killed."""


class WorkerLink:
    def __init__(
        self,
        worker: Worker,
        session: Session,
        *,
        changed: Callable[[Topic], None],
        happened: Callable[[Event], None],
    ) -> None:
        """
        Args:
            changed: told which parts of the session are new.
            happened: told of every event after the attaching, for toasts.
        """
        self._worker, self._session = worker, session
        self._changed, self._happened = changed, happened

    async def follow(self, *, restart: bool = False, end_other: bool = False) -> None:
        """Attach, after a restart if wanted, and follow the worker; then any that another screen starts.

        One that has made way for a new one, as it was asked to, is followed by that.
        """
        await self._follow_one(restart=restart, end_other=end_other)
        while True:
            if not self._session.retiring:
                await self._worker.another()
            await self._follow_one(restart=self._session.retiring)

    async def _follow_one(self, *, restart: bool, end_other: bool = False) -> None:
        """Until it is gone; the session tells of its end."""
        in_the_way = False
        try:
            snapshot = await (self._worker.restart(end_other=end_other) if restart else self._worker.connect())
            self._changed(self._session.attach(snapshot))
            async for update in self._worker.updates():
                self._take(update)
        except WorkerError as error:
            trouble, in_the_way = str(error), isinstance(error, WorkerInTheWay)
        except Exception as error:  # a fault of ours must not take down the screen and what is typed in it
            trouble = f"The connection to the worker failed: {type(error).__name__}: {error}"
        else:
            trouble = "The worker closed the connection."
        if self._session.retiring and not restart:
            self._changed(self._session.say("info", trouble))
        elif trouble != self._session.trouble:
            self._changed(self._session.lose(trouble, in_the_way=in_the_way))

    def _take(self, update: Update) -> None:
        if isinstance(update, Event):
            self._changed(self._session.apply(update))
            self._happened(update)
        else:
            self._changed(self._session.meet(update))


class UserWorker:
    """The user's worker process, or the one at `socket`."""

    def __init__(self, socket: Path | None = None, early: subprocess.Popen[bytes] | None = None) -> None:
        """
        Args:
            socket: the worker's, if not the user's usual one.
            early: a worker that has been started and may still be opening its socket.
        """
        self._socket, self._early = socket, early
        self._client: WorkerClient | None = None

    async def connect(self) -> Snapshot:
        await self._wait_for_early_worker()
        try:
            self._client = await connect_or_start(self._socket)
        except WorkerLost as lost:
            raise WorkerError(in_words(lost)) from lost
        return self._client.snapshot

    async def updates(self) -> AsyncIterator[Update]:
        client = self._attached()
        told = client.snapshot.worker
        try:
            async for event in client.events():
                if client.worker is not told:
                    told = client.worker
                    yield told
                yield event
        except WorkerLost as lost:
            raise WorkerError(in_words(lost)) from lost

    async def another(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            with contextlib.suppress(WorkerError, OSError):
                client = await connect(self._socket, watch=False)
                await client.close()
                return

    async def ask(self, command: Command[Answer]) -> Answer:
        return await self._attached().ask(command)

    async def restart(self, *, end_other: bool = False) -> Snapshot:
        client, self._client = self._client, None
        if client is not None and client.lost is None:
            client.kill()
            deadline = asyncio.get_running_loop().time() + _LEAVE_WITHIN
            while client.lost is None and asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(0.05)
            if client.lost is None:
                client.kill(signal.SIGKILL)
            await client.close()
        try:
            return await self.connect()
        except WorkerInTheWay:
            if not end_other:
                raise
        await asyncio.to_thread(control.stop, self._socket)
        return await self.connect()

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _wait_for_early_worker(self) -> None:
        """Give the worker that is already starting its time, so that no second one is started."""
        early, self._early = self._early, None
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while early and early.poll() is None and asyncio.get_running_loop().time() < deadline:
            with contextlib.suppress(WorkerNotRunning):
                client = await connect(self._socket, watch=False)
                await client.close()
                return
            await asyncio.sleep(0.02)

    def _attached(self) -> WorkerClient:
        if self._client is None:
            raise WorkerError("No worker is attached; restart it with f5.")
        return self._client
