"""The numbers beside the memory graph: the last reading, the run's peak, and what was planned for it."""

from __future__ import annotations

from textual.content import Content

from flux2.errors import Flux2Error
from flux2.humanize import gigabytes
from flux2.planning.budget import user_budget
from tui.state.session import Session
from tui.terminal.glyphs import Glyphs

_GAP = "  "


def allowed(session: Session) -> int:
    """Bytes that runs are not to exceed: what the user's settings say, or else the machine; 0 while unknown."""
    try:
        return user_budget() or session.memory_limit
    except Flux2Error:  # the worker says so when a run begins
        return session.memory_limit


def memory_figures(session: Session, glyphs: Glyphs) -> list[Content]:
    """`active 21.4`, `peak 27.9` and so on, the most important first; none before the first reading."""
    memory, run = session.memory, session.run
    if memory is None:
        return []
    peak = max(session.history.peak, memory.active) if session.history.peak else memory.peak
    planned = max(run.planned.values(), default=0) if run else 0
    figures = (
        ((f"{glyphs.area} ", "$graph-active"), "active", memory.active),
        ((f"{glyphs.line} ", "$graph-peak"), "peak", peak),
        ((f"{glyphs.plan} ", "$graph-plan"), "plan", planned or None),
        (("", ""), "cache", memory.cache),
        (("", ""), "process", memory.footprint or None),
        (("", ""), "swap", memory.swap),
    )
    return [
        Content.assemble(sign, (f"{name} ", "$muted"), (gigabytes(count), "$foreground"))
        for sign, name, count in figures
        if count is not None
    ]


def in_heading(figures: list[Content], room: int) -> tuple[Content, Content]:
    """Figures that there is room for in the heading, from the first on, and the others."""
    fitting = max((count for count in range(len(figures) + 1) if _row(figures[:count]).cell_length <= room), default=0)
    return _row(figures[:fitting]), _row(figures[fitting:])


def _row(figures: list[Content]) -> Content:
    return Content.assemble(Content(_GAP).join(figures), (" GB", "$muted")) if figures else Content("")
