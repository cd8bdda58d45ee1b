"""The characters that graphs are drawn with: braille where the terminal has it, blocks or plain ASCII where not."""

from __future__ import annotations

import locale
import os
from dataclasses import dataclass

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""Bits of a braille cell by row from the top and column from the left (Unicode 2800–28FF)."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    name: str
    columns: int
    """Columns of dots in a cell."""
    rows: int
    """Rows of dots in a cell."""
    limit: str
    mark: str
    grid: str
    bar_full: str
    bar_half: str
    bar_empty: str
    levels: str
    """Characters from low to high, for a strip of small bars."""
    area: str
    """Stands for the filled series in a legend."""
    line: str
    """Stands for the line in a legend."""
    plan: str
    """Stands for the plan in a legend, and is drawn where cells have no dots."""

    def filled(self, heights: list[int], lines: list[int | None], plan: int | None = None) -> str:
        """The cell in which column i is filled up to `heights[i]` dots and has a line at dot `lines[i]` from below.

        Args:
            plan: the dot from below at which the first column has a dot of a dotted line, or in what is filled a gap.
        """
        if self.name == "braille":
            bits = 0
            for column in range(2):
                for row in range(4):
                    level = 3 - row
                    is_plan = level == plan and column == 0
                    if (level < heights[column]) != is_plan or level == lines[column]:
                        bits |= _DOTS[row][column]
            return chr(0x2800 + bits) if bits else " "
        if self.name == "block":
            if lines[0] is not None and lines[0] >= heights[0]:
                return "▔" if lines[0] >= 6 else "─" if lines[0] >= 2 else "▁"
            return " ▁▂▃▄▅▆▇█"[max(0, min(8, heights[0]))]
        if lines[0] is not None:
            return "-"
        return "#" if heights[0] > 1 else "." if heights[0] == 1 else " "


BRAILLE = Glyphs("braille", 2, 4, "╌", "┊", "┈", "━", "╾", "─", "▁▂▃▄▅▆▇█", "⣿", "⠒", "⠂")
BLOCK = Glyphs("block", 1, 8, "╌", "┊", "┈", "━", "╾", "─", "▁▂▃▄▅▆▇█", "█", "─", "·")
ASCII = Glyphs("ascii", 1, 2, "=", ":", " ", "#", "#", ".", "_.-=+*#%", "#", "-", "~")

GLYPHS = {glyphs.name: glyphs for glyphs in (BRAILLE, BLOCK, ASCII)}


def best_glyphs() -> Glyphs:
    """What this terminal can show: a Linux console has no braille, a non-UTF-8 locale has neither."""
    if "utf" not in locale.getpreferredencoding(False).lower():
        return ASCII
    return BLOCK if os.environ.get("TERM") == "linux" else BRAILLE
