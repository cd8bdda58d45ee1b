"""The memory graph under its latest numbers."""

from __future__ import annotations

from tui.lines.memory_figures import allowed, in_heading, memory_figures
from tui.lines.text import room
from tui.program import Program
from tui.state.session import Session, Topic
from tui.terminal.glyphs import Glyphs
from tui.widgets.memory_graph import MemoryGraph
from tui.widgets.pane import Pane
from tui.widgets.plain import Static

_SHORTEST_RULE = 1
"""Cells between the heading's title and its figures."""
_TALL = 14
"""Rows of a pane that has one to spare for figures."""


class MemoryPane(Pane, can_focus=True):
    """What has no room in the heading gets a row of its own, where the pane is tall."""

    TITLE = "Memory"
    HELP = (
        "Filled: what the engine holds now. Line: its peak. Dots across: the peak planned for each phase. Dashed: "
        "what runs should not exceed. Dots upwards: where a phase began. Cache: freed, and kept for what comes. "
        "Process: all that the worker takes. Swap: the whole machine's."
    )
    TOPICS = Topic.MEMORY | Topic.RUN | Topic.WORKER
    app: Program

    def __init__(self, glyphs: Glyphs) -> None:
        self.graph = MemoryGraph(glyphs)
        self.rest = Static(id="memory-rest")
        super().__init__(self.rest, self.graph, id="memory")

    def on_resize(self) -> None:
        self.show(self.app.session)

    def show(self, session: Session) -> None:
        planned = session.run.planned if session.run else {}
        self.graph.update(session.history, allowed(session), session.running, planned)
        figures = memory_figures(session, self.graph.glyphs)
        width = self.content_size.width
        heading, rest = in_heading(figures, room(width, len(self.heading.title), _SHORTEST_RULE, least=0))
        self.heading.detail = heading
        self.rest.update(rest)
        self.rest.display = bool(rest) and self.size.height >= _TALL
