"""Numbers and names as the panes write them; times are `flux2.humanize`'s."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size

from flux2.humanize import printable

GB = 1e9
"""Bytes in a gigabyte, as MLX and macOS print it."""


def gigabytes(count: float) -> str:
    """A number of bytes in GB, without the unit, to three figures: 0.024, 0.24, 3.12, 27.9, 128."""
    value = count / GB
    decimals = next((places for places, below in ((3, 0.0995), (2, 9.995), (1, 99.95)) if value < below), 0)
    return f"{value:.{decimals}f}"


def ellipsis(text: str, width: int) -> str:
    """The text on one line, cut with … where it is longer than `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def fitted(text: str, width: int) -> str:
    """Text from anywhere in exactly `width` cells: on one line, nothing that a terminal obeys, cut with … or padded."""
    line = printable(" ".join(text.split()))
    if cell_len(line) > width:
        line = set_cell_size(line, max(0, width - 1)).rstrip() + "…"
    return set_cell_size(line, max(0, width))


def size(width: int | None, height: int | None) -> str:
    return f"{width}×{height}" if width and height else "default"
