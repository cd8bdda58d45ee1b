"""What the screen needs of a worker. `tui.state.link` has the real one; tests replay recorded events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # what is imported here is needed only after the first frame
    from flux2.events import Event
    from flux2.worker.commands import Answer, Command
    from flux2.worker.protocol import Snapshot, WorkerInfo

    Update = Event | WorkerInfo


class Worker(Protocol):
    """A worker, seen from the screen. Every method raises `flux2.errors.WorkerError` with a sentence for the user."""

    async def connect(self) -> Snapshot:
        """Attach to the running worker, or start one. What it tells brings a late-comer up to date."""

    async def restart(self, *, end_other: bool = False) -> Snapshot:
        """End the worker if it still lives, start a new one and attach to it.

        Args:
            end_other: whether one that can't be talked to is ended, too, with what it is making.
        """

    async def another(self) -> None:
        """Wait until a worker runs that somebody else has started."""

    def updates(self) -> AsyncIterator[Update]:
        """What happens from then on.

        Raises:
            WorkerError: when the worker dies or the connection is lost, with the last lines of its stderr.
        """

    async def ask(self, command: Command[Answer]) -> Answer:
        """Have a command carried out; its answer.

        Raises:
            RequestError: if a request in it can't be carried out.
            WorkerError: if it is refused for another reason.
        """

    async def close(self) -> None:
        """Detach; the worker goes on."""
