"""Whether a worker process starts, answers and ends, apart from the user's own."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from flux2.doctor.finding import Finding, ok, wrong
from flux2.errors import WorkerError
from flux2.humanize import seconds
from flux2.worker import control
from flux2.worker.client import connect_or_start
from flux2.worker.commands import Ping

PATIENCE = 30.0  # seconds


def check_worker() -> Iterator[Finding]:
    """Start one on a socket of its own, ask it something, end it."""
    with tempfile.TemporaryDirectory(prefix="flux2-", dir="/tmp") as folder:
        path = Path(folder) / "run" / "worker.sock"
        began = time.perf_counter()
        try:
            asyncio.run(asyncio.wait_for(_greet(path), PATIENCE))
        except (WorkerError, TimeoutError) as error:
            yield wrong(
                f"the worker does not answer ({error or 'it took too long'})", "See what `flux2 worker log` says."
            )
        else:
            yield ok(f"a worker starts and answers in {seconds(time.perf_counter() - began)}")
        finally:
            control.stop(path)


async def _greet(path: Path) -> None:
    client = await connect_or_start(path)
    try:
        await client.ask(Ping())
    finally:
        await client.close()
