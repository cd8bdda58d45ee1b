"""Numbers and names as people read them."""

from __future__ import annotations

GB = 1e9
"""Bytes in a gigabyte, as MLX and macOS print it."""


def gigabytes(count: float) -> str:
    """A number of bytes in GB, without the unit, to three digits: 0.24, 3.12, 27.9, 128."""
    value = count / GB
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:.0f}"


def duration(seconds: float) -> str:
    """A stretch of time as a clock shows it: 0:07, 4:51, 1:02:03."""
    whole = max(0, round(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def short_seconds(seconds: float) -> str:
    """How long something took: 0.31 s, 4.1 s, 48 s, and from two minutes on 2:05."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 20:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 120 else duration(seconds)


def ellipsis(text: str, width: int) -> str:
    """The text on one line, cut with … where it is longer than `width` characters."""
    line = " ".join(text.split())
    return line if len(line) <= width else line[: max(0, width - 1)].rstrip() + "…"


def size(width: int | None, height: int | None) -> str:
    return f"{width}×{height}" if width and height else "default"
