"""Changing a request that waits: its settings are on the screen meanwhile, and the user's own come back after it."""

from __future__ import annotations

from collections.abc import Callable

from flux2.request import GenerationRequest
from flux2.request_fields import recipe
from tui.program import Program
from tui.state.choices import Choices
from tui.widgets.prompt_pane import PromptPane


class QueuedEdit:
    """Which request is being changed, if any, and what was set aside for it."""

    def __init__(self, prompt: PromptPane, changed: Callable[[], None]) -> None:
        """
        Args:
            prompt: shows the request's prompt, and in its title that one is changed.
            changed: told that another one is changed, or none any longer.
        """
        self._prompt, self._changed = prompt, changed
        self._set_aside: Choices | None = None
        self.run = ""
        """The request's id; "" while none is changed."""

    def begin(self, app: Program, run: str) -> None:
        """Show what this request asks for; the run key puts it back into its place."""
        item = next((item for item in app.session.queue if item.id == run), None)
        if item is None or item.running:
            return
        if not self.run:
            self._set_aside = app.choices
        self.run = run
        app.choose(app.choices.with_request(GenerationRequest.from_dict(item.request)))
        self._show("Queued picture: run puts it back, esc esc leaves it", app.choices.prompt)

    async def put_back(self, app: Program, request: GenerationRequest) -> None:
        """Give the worker the changed request. Where its turn has come meanwhile, the run key makes a new one of it."""
        from flux2.worker.commands import Replace

        if await app.ask_worker(Replace(self.run, request)):
            self.end(app)
        else:
            self.run, self._set_aside = "", None
            app.choose(recipe(app.choices))
            self._show("Prompt", app.choices.prompt)

    def end(self, app: Program) -> None:
        """Leave the queue as it is and bring back what was set aside."""
        before, self.run, self._set_aside = self._set_aside, "", None
        if before is not None:
            app.choose(before)
        self._show("Prompt", app.choices.prompt)

    def _show(self, title: str, prompt: str) -> None:
        self._prompt.heading.title = title
        self._prompt.put(prompt)
        self._changed()
