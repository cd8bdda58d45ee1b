"""Texts as the panes break and cut them; figures are `flux2.humanize`'s."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len, chop_cells, set_cell_size

from flux2.humanize import printable


def room(whole: int, *taken: int, least: int = 1) -> int:
    """Cells that are left of `whole` beside those that are taken: `least` where there are fewer, in small terminals."""
    return max(least, whole - sum(taken))


def ellipsis(text: str, width: int) -> str:
    """The text on one line, cut with … where it is longer than `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: room(width, 1, least=0)].rstrip() + "…"


def fitted(text: str, width: int) -> str:
    """Text from anywhere in exactly `width` cells: on one line, nothing that a terminal obeys, cut with … or padded."""
    line = printable(" ".join(text.split()))
    if cell_len(line) > width:
        line = set_cell_size(line, room(width, 1, least=0)).rstrip() + "…"
    return set_cell_size(line, max(0, width))


def wrapped(text: str, width: int) -> Iterator[str]:
    """Its lines in at most so many cells each, with nothing that a terminal obeys: broken at spaces, paths between
    folders, long names at hyphens. Two cells at least: some characters take as many."""
    width = max(2, width)
    for paragraph in printable(text).split("\n"):
        line = ""
        for piece in _pieces(paragraph, width):
            if line and cell_len(line + piece.rstrip()) > width:
                yield line.rstrip()
                line = ""
            line += piece
        yield line.rstrip()


def _pieces(paragraph: str, width: int) -> Iterator[str]:
    """What is not to be broken, the spaces that follow it included."""
    for word in re.findall(r"[^ ]+ *|^ +", paragraph):
        for part in re.findall(r"[^/]*/|[^/]+", word) if word.count("/") > 1 else (word,):
            if cell_len(part.rstrip()) <= width:
                yield part
                continue
            for name in re.findall(r"[^-_]*[-_]|[^-_]+", part):
                yield from [name] if cell_len(name.rstrip()) <= width else chop_cells(name, width)


def size(width: int | None, height: int | None) -> str:
    return f"{width}×{height}" if width and height else "default"
