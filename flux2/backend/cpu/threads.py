"""Work on the CPU backend shared among threads, as many as matrix products have."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

from flux2.backend import blas


def for_each(starts: Iterable[int], work: Callable[[int], None]) -> None:
    """Call `work` with each; it should spend its time in NumPy, which lets go of Python's lock."""
    starts, threads = list(starts), blas.threads()
    if threads == 1 or len(starts) == 1:
        for start in starts:
            work(start)
    else:
        list(_pool(threads).map(work, starts))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="cpu")
