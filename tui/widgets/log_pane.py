"""What happened, newest last; long lines wrap, and one who has scrolled up is left alone."""

from __future__ import annotations

import time
from typing import ClassVar

from rich.segment import Segment
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.lines.text import room, wrapped
from tui.state.session import LOG_LINES, LogLine, Session, Topic
from tui.widgets.pane import Pane

_STAMP = 9
"""Cells of "14:02:11 "."""
_STYLES = ("info", "done", "warning", "error", "stamp")


class LogLines(ScrollView, can_focus=True):
    """The lines, wrapped to the width."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"log-lines--{style}" for style in _STYLES}

    def __init__(self) -> None:
        super().__init__()
        self._entries: list[LogLine] = []
        self._rows: list[tuple[str, str, str]] = []  # stamp, text, style
        self._logged = 0
        self._following = True

    def update(self, session: Session) -> None:
        """Append what is new."""
        new = min(session.logged - self._logged, len(session.log))
        if new <= 0:
            return
        self._logged = session.logged
        fresh = list(session.log)[-new:]
        self._entries = (self._entries + fresh)[-LOG_LINES:]
        for entry in fresh:
            self._rows += self._wrap(entry)
        self._settle()

    def on_resize(self) -> None:
        self._rows = [row for entry in self._entries for row in self._wrap(entry)]
        self._settle()

    def _settle(self) -> None:
        self._rows = self._rows[-LOG_LINES * 2 :]
        self.virtual_size = Size(self.size.width, len(self._rows))
        self.refresh()
        if self._following:
            self.scroll_end(animate=False, x_axis=False, force=True, immediate=True)  # later it might be overtaken

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._following = round(new_value) >= self.max_scroll_y

    def _wrap(self, entry: LogLine) -> list[tuple[str, str, str]]:
        stamp = time.strftime("%H:%M:%S ", time.localtime(entry.time))
        level = entry.level if entry.level in _STYLES else "info"
        lines = wrapped(entry.message, room(self.scrollable_content_region.width, _STAMP, least=8))
        return [(" " * _STAMP if place else stamp, line, level) for place, line in enumerate(lines)]

    def render_line(self, y: int) -> Strip:
        row = y + self.scroll_offset.y
        width = self.size.width
        if row >= len(self._rows):
            return Strip.blank(width, self.rich_style)
        stamp, text, level = self._rows[row]
        segments = [
            Segment(stamp, self.get_component_rich_style("log-lines--stamp")),
            Segment(text, self.get_component_rich_style(f"log-lines--{level}")),
        ]
        return Strip(segments).adjust_cell_length(width, self.rich_style)


class LogPane(Pane):
    TITLE = "Log"
    HELP = "What happened, newest last. Scroll up to read in peace; end follows it again."
    TOPICS = Topic.LOG

    def __init__(self) -> None:
        self.lines = LogLines()
        super().__init__(self.lines, id="log")

    def show(self, session: Session) -> None:
        self.lines.update(session)
