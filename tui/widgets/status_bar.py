"""The top row: the program, the machine it computes on, and how the worker is."""

from __future__ import annotations

import platform

from textual.content import Content
from textual.widget import Widget

from flux2.progress import FAILED
from tui.lines.text import room
from tui.program import Program
from tui.state.session import Session, Topic


class StatusBar(Widget):
    app: Program
    TOPICS = Topic.WORKER | Topic.RUN | Topic.QUEUE

    def __init__(self, remote: bool) -> None:
        super().__init__()
        self._session = Session()
        host = platform.node().split(".")[0]
        self._place = f"{host} over ssh" if remote else host

    def show(self, session: Session) -> None:
        self._session = session
        self.refresh()

    def render(self) -> Content:
        state, style = self._state()
        if strange := self._session.strange:
            state += ", new worker to come" if self._session.retiring else f", {strange.short}: {self._restart}"
        worker = self._session.worker
        left = [("flux2-tui", "bold $accent")]
        middle = "  ".join(part for part in (self._place, worker.device if worker else "") if part)
        right = [(f"{self._dot()} ", style), (state, style if style != "$success" else "$foreground")]
        between = room(self.size.width, *(len(text) for text, _ in (*left, *right)), 2, least=0)
        if len(middle) > between:
            middle = ""
        return Content.assemble(*left, ("  " + middle.ljust(between), "$muted"), *right)

    @property
    def _restart(self) -> str:
        return self.app.keys_of("restart")

    def _dot(self) -> str:
        return "○" if self._session.worker is None else "●"

    def _state(self) -> tuple[str, str]:
        session = self._session
        if session.trouble:
            return f"worker {'in the way' if session.in_the_way else 'lost'}, {self._restart} restarts it", "$error"
        if session.worker is None:
            return "starting the worker", "$muted"
        if session.running and session.run is not None:
            return f"{session.run.phase or 'running'}{self._waiting()}", "$accent"
        if session.waiting:
            return self._waiting().removeprefix(", "), "$warning" if session.held else "$accent"
        if not session.worker.ready:
            return "worker warming up", "$success"
        if session.run is not None and session.run.state == FAILED:
            return "last run failed", "$error"
        return "ready", "$success"

    def _waiting(self) -> str:
        session = self._session
        if not session.waiting:
            return ", stops after this" if session.held else ""
        return f", {session.waiting} waiting" + (", held" if session.held else "")
