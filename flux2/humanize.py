"""Values as people read and write them: one form of bytes and of seconds for every message, table and screen."""

from __future__ import annotations

import re
from collections.abc import Sequence

GB = 1e9
"""Bytes in a gigabyte, as MLX and macOS print it."""
_SIZE = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)(i?)b?", re.IGNORECASE)


def size(count: float) -> str:
    """Bytes in binary units, three figures: `412 MiB`, `7.22 GiB`.

    >>> size(2_194_669_568)
    '2.04 GiB'
    """
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    power = 0
    while abs(count) >= 999.5 and power < len(units) - 1:
        count /= 1024
        power += 1
    return f"{_three_figures(count) if power else int(count)} {units[power]}"


def gigabytes(count: float) -> str:
    """A number of bytes in GB, without the unit, to three figures: `0.024`, `3.12`, `128`.

    >>> gigabytes(27.94e9)
    '27.9'
    """
    if not count:
        return "0"
    value = count / GB
    decimals = next((places for places, below in ((3, 0.0995), (2, 9.995), (1, 99.95)) if value < below), 0)
    return f"{value:.{decimals}f}"


def parse_size(text: str) -> int:
    """Bytes of what a person typed: `12GB` (decimal), `11500 MiB` (binary), `12g`.

    >>> parse_size("1.5GiB")
    1610612736

    Raises:
        ValueError: if it is no size above 0.
    """
    found = _SIZE.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a size")
    number, prefix, binary = found.groups()
    count = int(float(number) * (1024 if binary else 1000) ** " kmgt".index(prefix.lower() or " "))
    if not count or (binary and not prefix):
        raise ValueError(f"{text!r} is not a size")
    return count


def parameters(count: float) -> str:
    """How large a network is: `3.9 B`, `13 M`."""
    return f"{count / 1e9:.1f} B" if count >= 1e9 else f"{count / 1e6:.0f} M"


def seconds(value: float) -> str:
    """A measured duration, three figures below a minute: `0.42 s`, `12.3 s`, `29:18`, `1:02:03`."""
    return f"{_three_figures(value)} s" if value < 59.95 else clock(value)


def clock(value: float) -> str:
    """A running time or a countdown: `0:07`, `29:18`, `1:02:03`."""
    whole = round(value)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def transfer(done: int, total: int, bytes_per_second: float, seconds_left: float | None) -> str:
    """How far a download is: `3.20 GiB of 15.4 GiB · 23.1 MiB/s · 8:41 left`, as far as it is known."""
    parts = [
        f"{size(done)} of {size(total)}" if total else "",
        f"{size(bytes_per_second)}/s" if bytes_per_second else "",
        f"{clock(seconds_left)} left" if seconds_left is not None else "",
    ]
    return " · ".join(part for part in parts if part)


_JOINER = "\u200d"


def printable(text: str) -> str:
    """Text from a file or the network without what a terminal would obey: escape sequences, bells, cursor moves.

    Emoji that are joined to one stand side by side: terminals disagree about how wide the one is.
    """
    kept = (c for c in text if c != _JOINER)
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in kept)


def _three_figures(value: float) -> str:
    magnitude = abs(value)
    return f"{value:.{2 if magnitude < 9.995 else 1 if magnitude < 99.95 else 0}f}"


def either(names: Sequence[str]) -> str:
    """Names as a choice.

    >>> either(["klein-4b"]), either(["a", "b", "c"])
    ('klein-4b', 'a, b or c')
    """
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
