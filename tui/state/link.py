"""The thread between worker and screen: attach, fold every update into the session, notice an end and a new worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from flux2.errors import WorkerError, WorkerInTheWay
from flux2.events import Event
from tui.state.session import Session, Topic

if TYPE_CHECKING:
    from tui.state.backend import Backend, Update


class WorkerLink:
    def __init__(
        self,
        backend: Backend,
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
        self._backend, self._session = backend, session
        self._changed, self._happened = changed, happened

    async def follow(self, *, restart: bool = False, end_other: bool = False) -> None:
        """Attach, after a restart if wanted, and follow the worker; then any that another screen starts.

        One that has made way for a new one, as it was asked to, is followed by that.
        """
        await self._follow_one(restart=restart, end_other=end_other)
        while True:
            if not self._session.retiring:
                await self._backend.another()
            await self._follow_one(restart=self._session.retiring)

    async def _follow_one(self, *, restart: bool, end_other: bool = False) -> None:
        """Until it is gone; the session tells of its end."""
        in_the_way = False
        try:
            snapshot = await (self._backend.restart(end_other=end_other) if restart else self._backend.connect())
            self._changed(self._session.attach(snapshot))
            async for update in self._backend.updates():
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
