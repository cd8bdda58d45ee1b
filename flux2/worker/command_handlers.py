"""How each command is carried out, on the worker's socket thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import singledispatchmethod
from typing import Any

from flux2.asker import Asker
from flux2.pictures.attachments import check_there
from flux2.worker import commands as cmd
from flux2.worker.downloads import Downloads
from flux2.worker.scheduler import Scheduler
from flux2.worker.tasks import Task

_STOPPED = "The run was interrupted: the worker was stopped. It can be taken up again."


class CommandHandlers:
    def __init__(
        self,
        scheduler: Scheduler,
        downloads: Downloads,
        *,
        count_tokens: Callable[[str, str], tuple[int, int] | None],
        break_off_later: Callable[[str, Task | None], None],
    ) -> None:
        """
        Args:
            count_tokens: as `flux2.worker.runner.Runner.count_tokens`; called in a thread of its own.
            break_off_later: ends the process for this reason, once the engine has had its seconds to obey; where a task
                is given, only if the engine is still at that.
        """
        self._scheduler, self._downloads = scheduler, downloads
        self._count_tokens, self._break_off_later = count_tokens, break_off_later

    @singledispatchmethod
    def carry_out(self, command: cmd.Command[Any], asker: Asker) -> Any | Awaitable[Any]:
        """The command's answer, or a promise of it.

        Args:
            asker: the client's shell, for what is downloaded as in there.

        Raises:
            Flux2Error: one sentence, if it is refused.
        """
        raise NotImplementedError(f"{command.name()} has no handler")

    @carry_out.register
    def _enqueue(self, command: cmd.Enqueue, asker: Asker) -> cmd.Queued:
        check_there(command.request.attachments)
        return cmd.Queued(self._scheduler.enqueue(command.request, asker))

    @carry_out.register
    def _cancel(self, command: cmd.Cancel, _: Asker) -> cmd.Cancelled:
        cancelled = self._scheduler.cancel(command.run)
        if cancelled and command.force:
            self._break_off_later("its run was cancelled", self._scheduler.task)
        return cmd.Cancelled(cancelled)

    @carry_out.register
    def _remove(self, command: cmd.Remove, _: Asker) -> None:
        self._scheduler.remove(command.run)

    @carry_out.register
    def _replace(self, command: cmd.Replace, asker: Asker) -> None:
        check_there(command.request.attachments)
        self._scheduler.replace(command.run, command.request, asker)

    @carry_out.register
    def _move(self, command: cmd.Move, _: Asker) -> None:
        self._scheduler.move(command.run, command.by)

    @carry_out.register
    def _hold(self, command: cmd.Hold, _: Asker) -> None:
        self._scheduler.hold(command.on)

    @carry_out.register
    def _resume(self, command: cmd.Resume, asker: Asker) -> cmd.Queued:
        return cmd.Queued(self._scheduler.resume(command.run, asker))

    @carry_out.register
    def _discard(self, command: cmd.Discard, _: Asker) -> None:
        self._scheduler.discard(command.run)

    @carry_out.register
    async def _save_again(self, command: cmd.SaveAgain, _: Asker) -> cmd.Saved:
        from flux2.pictures.images import save_again

        png, left = self._scheduler.unfinished.picture(command.run)
        path = command.path or left.picture
        finished = await asyncio.to_thread(save_again, command.run, png, left.request, path)
        self._scheduler.saved(finished)
        return cmd.Saved(finished.path)

    @carry_out.register
    async def _count(self, command: cmd.CountTokens, _: Asker) -> cmd.TokenCount | None:
        counted = await asyncio.to_thread(self._count_tokens, command.model, command.prompt)
        return cmd.TokenCount(*counted) if counted else None

    @carry_out.register
    def _start_download(self, command: cmd.StartDownload, asker: Asker) -> None:
        self._downloads.start(command.model, asker)

    @carry_out.register
    def _pause_download(self, command: cmd.PauseDownload, _: Asker) -> None:
        self._downloads.pause(command.model)

    @carry_out.register
    def _cancel_download(self, command: cmd.CancelDownload, _: Asker) -> None:
        self._downloads.cancel(command.model)

    @carry_out.register
    async def _delete_model(self, command: cmd.DeleteModel, _: Asker) -> cmd.Freed:
        self._scheduler.refuse_if_queued(command.model)
        return cmd.Freed(await asyncio.to_thread(self._downloads.delete, command.model))

    @carry_out.register
    def _unload(self, _: cmd.Unload, __: Asker) -> None:
        self._scheduler.unload()

    @carry_out.register
    def _quit(self, command: cmd.Quit, _: Asker) -> None:
        self._scheduler.leave("it was asked to", now=command.now, interruption=_STOPPED)
        if command.now:
            self._break_off_later("it was asked to", None)

    @carry_out.register
    def _ping(self, _: cmd.Ping, __: Asker) -> None:
        return
