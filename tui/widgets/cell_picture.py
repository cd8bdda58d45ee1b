"""Lines of half-cells in the middle of a widget; what draws them is another's business."""

from __future__ import annotations

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class CellPicture(Widget):
    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.strips: list[Strip] = []

    def show_strips(self, strips: list[Strip]) -> None:
        before, self.strips = self.strips, strips
        if [strip.cell_length for strip in before] != [strip.cell_length for strip in strips]:
            self.refresh()
        elif changed := [y for y, (old, new) in enumerate(zip(before, strips, strict=True)) if old != new]:
            self.refresh(*(Region(0, y, self.size.width, 1) for y in changed))

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y >= len(self.strips):
            return Strip.blank(width, self.rich_style)
        strip = self.strips[y]
        left = max(0, (width - strip.cell_length) // 2)
        padded = Strip([Segment(" " * left, self.rich_style)]) + strip if left else strip
        return padded.adjust_cell_length(width, self.rich_style)
