"""The shortest list of operations that still fails, by leaving out what is not needed for it (delta debugging).

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeVar

from tests.monkey.operations import Operation

T = TypeVar("T")
MOST_TRIES = 400
"""Tries for one list; a failure that takes long to come is left longer than it need be."""


def shortest(operations: Sequence[Operation], fails: Callable[[Sequence[Operation]], bool]) -> list[Operation]:
    """The operations that are needed; first whole ones go, then keys within a write.

    Args:
        operations: a list that fails.
        fails: whether another list fails in the same way.
    """
    tries = count()

    def still_fails(tried: Sequence[Operation]) -> bool:
        return next(tries) < MOST_TRIES and fails(tried)

    left = _reduced(list(operations), still_fails)
    for place in range(len(left)):

        def fails_with(texts: Sequence[str], place: int = place) -> bool:
            return still_fails([*left[:place], replace(left[place], texts=tuple(texts)), *left[place + 1 :]])

        if left[place].kind == "type" and len(left[place].texts) > 1:
            left[place] = replace(left[place], texts=tuple(_reduced(list(left[place].texts), fails_with)))
    return left


def _reduced(items: list[T], fails: Callable[[list[T]], bool]) -> list[T]:
    """Leave out halves, then quarters, and so on to single ones, as long as what is left fails."""
    size = max(1, len(items) // 2)
    while True:
        place, before = 0, len(items)
        while place < len(items):
            if fails(rest := items[:place] + items[place + size :]):
                items = rest
            else:
                place += size
        if size == 1 and len(items) == before:
            return items
        size = max(1, size // 2)
