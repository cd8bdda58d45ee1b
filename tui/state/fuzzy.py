"""Finding text by a few typed letters: what the gallery's and the history's filters mean by a match."""

from __future__ import annotations

import re
from collections.abc import Callable


def matcher(query: str) -> Callable[[str], bool]:
    """Whether every word of the query is in a text, or its letters are, in order, in one word of the text.

    Case doesn't count. The first letter must be the word's own, so that a few letters don't match everything.

    >>> matcher("tab wdw")("An orange tabby on a windowsill")
    True
    """
    patterns = [re.compile(_pattern(part), re.IGNORECASE) for part in query.split()]
    return lambda text: all(pattern.search(text) for pattern in patterns)


def _pattern(part: str) -> str:
    """The part itself, or a word that begins with its first letter and has the others in order."""
    abbreviation = r"\S*?".join(re.escape(letter) for letter in part)
    return rf"{re.escape(part)}|(?<!\S){abbreviation}"
