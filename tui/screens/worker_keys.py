"""Keys of the dashboard that ask the worker for something, and nothing else."""

from __future__ import annotations

from textual import work

from tui.program import Program
from tui.terminal.inside_textual import UserKeysScreen
from tui.widgets.queue_pane import QueueList


class WorkerKeys(UserKeysScreen):
    """The part of the dashboard that carries them out."""

    app: Program

    @work(group="command")
    async def on_queue_list_removed(self, event: QueueList.Removed) -> None:
        from flux2.worker.commands import Remove

        await self.app.ask_worker(Remove(event.item))

    @work(group="command")
    async def on_queue_list_moved(self, event: QueueList.Moved) -> None:
        from flux2.worker.commands import Move

        await self.app.ask_worker(Move(event.item, event.by))

    @work(group="command")
    async def action_hold(self) -> None:
        from flux2.worker.commands import Hold

        await self.app.ask_worker(Hold(not self.app.session.held))

    @work(group="command")
    async def action_unload(self) -> None:
        from flux2.worker.commands import Unload

        await self.app.ask_worker(Unload())

    @work(group="command")
    async def action_unfinished(self) -> None:
        from tui.screens.unfinished import offer_unfinished

        await offer_unfinished(self.app)
