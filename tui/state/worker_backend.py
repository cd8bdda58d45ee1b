"""The real worker behind `tui.state.backend.Backend`. Imported after the first frame."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.errors import WorkerError, WorkerInTheWay
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

if TYPE_CHECKING:
    from flux2.request import GenerationRequest
    from flux2.worker.protocol import Snapshot
    from tui.state.backend import Update

_LOOK_EVERY = 1.0
"""Seconds between looks for a worker that another screen has started."""
_LEAVE_WITHIN = 3.0
"""Seconds that a worker has to leave before it is killed."""


class WorkerBackend:
    """Attaches to the user's worker, or to the one at `socket`."""

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

    async def enqueue(self, request: GenerationRequest) -> str:
        return await self._attached().enqueue(request)

    async def cancel(self, run: str) -> None:
        await self._attached().cancel(run)

    async def remove(self, run: str) -> None:
        await self._attached().remove(run)

    async def replace(self, run: str, request: GenerationRequest) -> None:
        await self._attached().replace(run, request)

    async def move(self, run: str, by: int) -> None:
        await self._attached().move(run, by)

    async def hold(self, on: bool) -> None:
        await self._attached().hold(on)

    async def resume(self, run: str) -> str:
        return await self._attached().resume(run)

    async def discard(self, run: str) -> None:
        await self._attached().discard(run)

    async def save_again(self, run: str, path: str) -> str:
        return await self._attached().save_again(run, path)

    async def unload(self) -> None:
        await self._attached().unload()

    async def count_tokens(self, model: str, prompt: str) -> tuple[int, int] | None:
        return await self._attached().count_tokens(model, prompt)

    async def start_download(self, model: str) -> None:
        await self._attached().start_download(model)

    async def pause_download(self, model: str) -> None:
        await self._attached().pause_download(model)

    async def cancel_download(self, model: str) -> None:
        await self._attached().cancel_download(model)

    async def delete_model(self, model: str) -> int:
        return await self._attached().delete_model(model)

    async def retire(self) -> None:
        await self._attached().stop()

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
