"""Changing a request that waits: its settings are on the screen meanwhile, and the user's own come back after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flux2.request import GenerationRequest
from flux2.request_fields import recipe
from flux2.worker.commands import Replace
from tui.state.choices import Choices

if TYPE_CHECKING:
    from tui.screens.dashboard import Dashboard


class QueuedEdit:
    """Which request is being changed, if any, and what was set aside for it."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._set_aside: Choices | None = None
        self.run = ""
        """The request's id; "" while none is changed."""

    def begin(self, run: str) -> None:
        """Show what this request asks for; the run key puts it back into its place."""
        app = self._dashboard.app
        item = next((item for item in app.session.queue if item.id == run), None)
        if item is None or item.running:
            return
        if not self.run:
            self._set_aside = app.choices
        self.run = run
        app.choose(app.choices.with_request(GenerationRequest.from_dict(item.request)))
        self._show("Queued picture: run puts it back, esc esc leaves it")

    async def put_back(self, request: GenerationRequest) -> None:
        """Give the worker the changed request. Where its turn has come meanwhile, the run key makes a new one of it."""
        app = self._dashboard.app
        if await app.ask_worker(Replace(self.run, request)):
            self.end()
        else:
            self.run, self._set_aside = "", None
            app.choose(recipe(app.choices))
            self._show("Prompt")

    def end(self) -> None:
        """Leave the queue as it is and bring back what was set aside."""
        app = self._dashboard.app
        before, self.run, self._set_aside = self._set_aside, "", None
        if before is not None:
            app.choose(before)
        self._show("Prompt")

    def _show(self, title: str) -> None:
        prompt = self._dashboard.prompt
        prompt.heading.title = title
        prompt.put(self._dashboard.app.choices.prompt)
        self._dashboard.refresh_bindings()
