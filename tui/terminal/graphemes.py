"""Characters as a reader counts them: extended grapheme clusters (Unicode's annex 29). A family emoji is one."""

from __future__ import annotations

from functools import cache
from typing import Any

_BEFORE, _AFTER = 1000, 200
"""Code points around a place that are looked at: a key must not take longer the more text there is."""


def start_of(text: str, index: int) -> int:
    """Start of the character that the code point at `index` is part of; an index outside the text is brought to it."""
    return _span(text, index)[0]


def end_of(text: str, index: int) -> int:
    """End of that character."""
    return _span(text, index)[1]


def _span(text: str, index: int) -> tuple[int, int]:
    index = max(0, index)
    if index >= len(text):
        return len(text), len(text)
    if not text.isascii():
        begin = max(0, text.rfind(" ", 0, index + 1), index - _BEFORE)  # none lies on both sides of a space
        for match in _clusters().finditer(text, begin, index + _AFTER):
            if index < match.end():
                return int(match.start()), int(match.end())
    return index, index + 1


@cache
def _clusters() -> Any:
    import regex  # 20 ms, which only a text beyond ASCII costs

    return regex.compile(r"\X")
