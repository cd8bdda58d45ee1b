"""Memory over the run: active memory filled, its peak as a line, the plan dotted, the limit dashed, phases marked.

Drawn cell by cell into strips; a redraw costs the same whatever the length of the run.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby, zip_longest
from operator import itemgetter
from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.lines.axis import Scale, memory_scale, time_labels
from tui.state.memory_history import Column, MemoryHistory, column_seconds
from tui.terminal.glyphs import BRAILLE, Glyphs

WINDOW = 120.0
"""Seconds of the close-up."""
COARSEST_START = 1 / 16
"""Seconds per column that a running graph starts with; a finished run is fitted to the width."""
_AXIS = 6
"""Cells of the labels left of the graph, the gap included."""
_Cell = tuple[str, Style]
_Filled = tuple[str, str] | None
"""What is drawn in one cell and the name of its style; None where there is no data."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """All that a redraw depends on; equal frames draw the same picture."""

    columns: tuple[Column | None, ...]
    plans: tuple[int, ...]
    """The planned peak of the phase that a column lies in, bytes; 0 for none. Of a phase under way up to the edge."""
    marks: tuple[tuple[int, str], ...]
    """Cell and phase."""
    scale: Scale
    start: float
    seconds: float
    """Per column of dots."""


class MemoryGraph(Widget):
    """The graph alone; `tui.widgets.memory_pane` feeds it."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "memory-graph--active",
        "memory-graph--peak",
        "memory-graph--plan",
        "memory-graph--limit",
        "memory-graph--mark",
        "memory-graph--grid",
        "memory-graph--label",
    }

    whole_run = reactive(True)

    def __init__(self, glyphs: Glyphs = BRAILLE) -> None:
        super().__init__()
        self.glyphs = glyphs
        self._history = MemoryHistory()
        self._limit = 0
        self._live = False
        self._planned: Mapping[str, int] = {}
        self._frame: _Frame | None = None
        self._rows: list[list[_Cell]] = []
        self._strips: list[Strip] = []

    def update(self, history: MemoryHistory, limit: int, running: bool, planned: Mapping[str, int]) -> None:
        """Show this history and the peak planned for each phase; redraws only where a dot has moved."""
        self._history, self._limit, self._live, self._planned = history, limit, running, planned
        self._redraw()

    def watch_whole_run(self) -> None:
        self._redraw()

    def on_resize(self) -> None:
        self._frame = None
        self._redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._frame = None
        if self.is_mounted:
            self.call_later(self._redraw)  # Textual tells of a new style before it is the component classes', too

    def render_line(self, y: int) -> Strip:
        if y < len(self._strips):
            return self._strips[y]
        return Strip.blank(self.size.width, self.rich_style)

    def _redraw(self) -> None:
        width, height = self.size
        if width <= _AXIS + 2 or height < 3:
            return
        frame = self._next_frame(width - _AXIS, height)
        if frame != self._frame:
            self._frame = frame
            before, self._rows = self._rows, self._draw(frame, width - _AXIS, height)
            if [len(row) for row in before] != [len(row) for row in self._rows]:
                self._strips = [_strip(row) for row in self._rows]
                self.refresh()
            elif changed := list(_changed(before, self._rows)):
                for region in changed:
                    self._strips[region.y] = _strip(self._rows[region.y])
                self.refresh(*changed)  # nothing else need be sent over a slow line again

    def _next_frame(self, cells: int, height: int) -> _Frame:
        history, per_cell = self._history, self.glyphs.columns
        count = cells * per_cell
        start = 0.0
        if self.whole_run:
            fit = history.end / max(1, count - 1)
            seconds = column_seconds(history.end, count, COARSEST_START) if self._live else max(fit, 1e-3)
        else:
            seconds = column_seconds(WINDOW, count)
            start = max(0.0, (int(history.end / seconds) - count + 1) * seconds)
        columns = tuple(history.columns(start, seconds)[-count:])
        marks = tuple(
            (int((mark.time - start) / seconds) // per_cell, mark.phase)
            for mark in history.marks
            if mark.time >= start or mark is history.marks[-1]
        )
        scale = memory_scale(max(history.peak, *self._planned.values(), 0), self._limit, plot_rows(height))
        plans = self._plans(start, seconds, count if self._live else len(columns))
        return _Frame(columns, plans, marks, scale, start, seconds)

    def _plans(self, start: float, seconds: float, count: int) -> tuple[int, ...]:
        plans = [0] * count
        for mark in self._history.marks:
            first = max(0, int((mark.time - start) / seconds))
            plans[first:] = [self._planned.get(mark.phase, 0)] * len(plans[first:])
        return tuple(plans)

    def _draw(self, frame: _Frame, cells: int, height: int) -> list[list[_Cell]]:
        """Every row as single cells."""
        style = {name: self.get_component_rich_style(f"memory-graph--{name}") for name in _STYLES}
        style["blank"] = self.rich_style
        rows, per_cell = plot_rows(height), self.glyphs.columns
        dots = rows * self.glyphs.rows
        levels = [
            _level(frame.scale, column, plan, dots)
            for column, plan in zip_longest(frame.columns, frame.plans, fillvalue=None)
        ]
        levels += [_NOTHING] * (cells * per_cell - len(levels))
        columns = [
            _column(tuple(levels[left : left + per_cell]), rows, self.glyphs)
            for left in range(0, len(levels), per_cell)
        ]
        drawn = [
            _cells(f"{frame.scale.label(row, rows):>{_AXIS - 1}} ", style["label"])
            + self._plot_row(frame, columns, row, rows, style)
            for row in range(rows)
        ]
        gap = _cells(" " * _AXIS, style["blank"])
        if height - rows >= 1:
            drawn.append(gap + _cells(_phase_line(frame, cells), style["label"]))
        if height - rows >= 2:
            seconds = frame.seconds * per_cell
            labels = time_labels(frame.start, seconds, cells) if any(frame.columns) else ""
            drawn.append(gap + _cells(labels.ljust(cells), style["mark"]))
        return drawn

    def _plot_row(
        self, frame: _Frame, columns: list[tuple[_Filled, ...]], row: int, rows: int, style: dict[str, Style]
    ) -> list[_Cell]:
        """One row of cells, the topmost being 0. In a cell of several things the data wins, the grid gives way."""
        glyphs, scale = self.glyphs, frame.scale
        empty = {cell: (glyphs.mark, style["mark"]) for cell, _ in frame.marks if cell > 0}
        rest = (" ", style["blank"])
        if scale.limit_row(rows) == row:
            note = scale.limit_note()
            first = len(columns) - len(note)
            rest = (glyphs.limit, style["limit"])
            empty = {first + place: (character, style["limit"]) for place, character in enumerate(note)}
        elif row < rows - 1 and scale.label(row, rows):
            rest = (glyphs.grid, style["grid"])
        return [
            empty.get(cell, rest) if filled is None else (filled[0], style[filled[1]])
            for cell, filled in enumerate(column[row] for column in columns)
        ]


class _Level(NamedTuple):
    """A column in dots from the bottom; 0 is nothing."""

    active: int
    peak: int
    plan: int


_NOTHING = _Level(0, 0, 0)


def _level(scale: Scale, column: Column | None, plan: int | None, dots: int) -> _Level:
    active, peak = (column.active, column.peak) if column else (0, 0)
    return _Level(*(scale.dots(count, dots) for count in (active, peak, plan or 0)))


@lru_cache(maxsize=1024)
def _column(levels: tuple[_Level, ...], rows: int, glyphs: Glyphs) -> tuple[_Filled, ...]:
    """A column of cells from the top: what the data draws. Kept, for from one frame to the next most stay the same."""
    drawn: list[_Filled] = []
    for row in range(rows):
        below = (rows - 1 - row) * glyphs.rows  # dots under this row
        heights = [max(0, min(glyphs.rows, level.active - below)) for level in levels]
        lines = [_dot(level.peak, below, glyphs) for level in levels]
        plan = _dot(levels[0].plan, below, glyphs)
        text = glyphs.filled(heights, lines, plan)
        if any(line is not None for line in lines):
            drawn.append((text, "peak"))
        elif any(heights):
            drawn.append((text, "active"))
        else:
            drawn.append(None if plan is None else (text if text != " " else glyphs.plan, "plan"))
    return tuple(drawn)


def _dot(level: int, below: int, glyphs: Glyphs) -> int | None:
    """Where in a cell, from its bottom, the uppermost dot of so many lies; None where it is in another cell."""
    return level - 1 - below if 0 < level - below <= glyphs.rows else None


_STYLES = ("active", "peak", "plan", "limit", "mark", "grid", "label")


def _cells(text: str, style: Style) -> list[_Cell]:
    return [(character, style) for character in text]


def _strip(row: list[_Cell]) -> Strip:
    runs = groupby(row, key=itemgetter(1))
    return Strip([Segment("".join(text for text, _ in run), style) for style, run in runs], len(row))


def _changed(before: list[list[_Cell]], after: list[list[_Cell]]) -> Iterator[Region]:
    """Regions of the rows that have something new: of each the stretch within which all of it lies."""
    for y, (old, new) in enumerate(zip(before, after, strict=True)):
        if old != new:
            places = [x for x, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1]]
            yield Region(places[0], y, places[-1] - places[0] + 1, 1)


def plot_rows(height: int) -> int:
    """How many of the rows are the plot itself: the phases' line comes first, the time axis where there is room."""
    return height - (2 if height >= 8 else 1)


def _phase_line(frame: _Frame, cells: int) -> str:
    """The phases' names under their marks; a phase too short for its name goes without."""
    line = [" "] * cells
    marks = [(max(0, cell), phase) for cell, phase in frame.marks if cell < cells]
    ends = [*(cell for cell, _ in marks[1:]), cells + 1]
    for (cell, phase), end in zip(marks, ends, strict=False):
        if cell + len(phase) < end:
            line[cell : cell + len(phase)] = phase
    return "".join(line)
