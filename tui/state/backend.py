"""What the screen needs of a worker. `tui.state.worker_backend` is the real one; tests replay recorded events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # what is imported here is needed only after the first frame
    from flux2.events import Event
    from flux2.request import GenerationRequest
    from flux2.worker.protocol import Snapshot, WorkerInfo

    Update = Event | WorkerInfo


class Backend(Protocol):
    """A worker, seen from the screen. Every method raises `flux2.errors.WorkerError` with a sentence for the user."""

    async def connect(self) -> Snapshot:
        """Attach to the running worker, or start one. What it tells brings a late-comer up to date."""

    def updates(self) -> AsyncIterator[Update]:
        """What happens from then on.

        Raises:
            WorkerError: when the worker dies or the connection is lost, with the last lines of its stderr.
        """

    async def another(self) -> None:
        """Wait until a worker runs that somebody else has started."""

    async def enqueue(self, request: GenerationRequest) -> str:
        """Add a run at the end of the queue; its id.

        Raises:
            RequestError: if the worker refuses it.
        """

    async def cancel(self, run: str) -> None:
        """Stop this run after its current step."""

    async def remove(self, run: str) -> None:
        """Take a waiting run out of the queue."""

    async def replace(self, run: str, request: GenerationRequest) -> None:
        """Put another request in the place of a waiting one."""

    async def move(self, run: str, by: int) -> None:
        """Let a waiting run change places with `by` of its neighbours; earlier where that is negative."""

    async def hold(self, on: bool) -> None:
        """Keep what waits from starting once the run under way has ended, or let it go on."""

    async def resume(self, run: str) -> str:
        """Take an unfinished run up before all others; the id of the run that it becomes."""

    async def discard(self, run: str) -> None:
        """Forget an unfinished run, with what was kept of it."""

    async def save_again(self, run: str, path: str) -> str:
        """Save a kept picture where it was to go ("") or elsewhere; the path that it has got."""

    async def unload(self) -> None:
        """Free the model's memory as soon as nothing runs."""

    async def count_tokens(self, model: str, prompt: str) -> tuple[int, int] | None:
        """A prompt's tokens and how many the model reads at most; None where its files are not here."""

    async def start_download(self, model: str) -> None:
        """Fetch a model, or go on with it; `DownloadProgress` events tell how far it is."""

    async def pause_download(self, model: str) -> None:
        """Stop a download for now; a run that needs the model waits."""

    async def cancel_download(self, model: str) -> None:
        """End a download; what has come is kept."""

    async def delete_model(self, model: str) -> int:
        """Remove a model from the disk; bytes that are free again."""

    async def retire(self) -> None:
        """Let the worker end once nothing runs or waits."""

    async def restart(self, *, end_other: bool = False) -> Snapshot:
        """End the worker if it still lives, start a new one and attach to it.

        Args:
            end_other: whether one that can't be talked to is ended, too, with what it is making.
        """

    async def close(self) -> None:
        """Detach; the worker goes on."""
