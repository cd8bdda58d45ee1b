"""Finding text by a few typed letters: what the gallery's and the history's filters mean by a match."""

from __future__ import annotations


def matches(query: str, text: str) -> bool:
    """Whether every word of the query is in the text, or its letters are, in order, in one word of the text.

    Case doesn't count. The first letter must be the word's own, so that a few letters don't match everything.

    >>> matches("tab wdw", "An orange tabby on a windowsill")
    True
    """
    text = text.casefold()
    words = text.split()
    return all(part in text or any(_abbreviates(part, word) for word in words) for part in query.casefold().split())


def _abbreviates(short: str, word: str) -> bool:
    if not word.startswith(short[0]):
        return False
    letters = iter(word)
    return all(letter in letters for letter in short)
