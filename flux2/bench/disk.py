"""A checkpoint on the disk rather than in the system's cache, and how fast the machine reads it from either."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from flux2.bench.recording import UnavailableError
from flux2.checkpoint.safetensors_file import read_header

CAN_DROP = hasattr(os, "posix_fadvise") and hasattr(os, "RWF_NOWAIT")
"""Whether a program can have its files' pages dropped from the cache, and see that they are; on macOS none can."""

_READ = 2 << 30  # bytes, to find the speed of reading
_PIECE = 16 << 20
_READERS = (1, 4, 8)
_WRITTEN = 64 << 20


def weights_in(folder: Path) -> list[Path]:
    """Weight files of a network, the largest first."""
    return sorted(folder.glob("*.safetensors"), key=lambda file: -file.stat().st_size)


def fill(path: Path) -> None:
    """Put random bfloat16 numbers, ±0.008 to ±0.03, in the place of a file's hole, and have them on the disk."""
    numbers = np.random.default_rng(0)
    begin = min(info.offset for info in read_header(path).values())
    with path.open("r+b") as file:
        for start in range(begin, path.stat().st_size, _WRITTEN):
            length = min(_WRITTEN, path.stat().st_size - start)
            bits = numbers.integers(0, 1 << 16, -(-length // 2), dtype=np.uint16)
            file.seek(start)
            file.write(((bits & 0x80FF) | 0x3C00).tobytes()[:length])
        file.flush()
        os.fsync(file.fileno())


def drop_from_cache(paths: Iterable[Path]) -> None:
    """Have the next reading of these files be the disk's.

    Raises:
        UnavailableError: if this file system keeps them all the same.
    """
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            if _is_cached(descriptor, path.stat().st_size // 2):
                raise UnavailableError(f"{path.parent} is on a file system that keeps its files in memory")
        finally:
            os.close(descriptor)


def _is_cached(descriptor: int, offset: int) -> bool:
    try:
        os.preadv(descriptor, [bytearray(1)], offset, os.RWF_NOWAIT)
    except BlockingIOError:
        return False
    return True


def reading_speed(path: Path, *, dropped: bool = False) -> float:
    """Bytes per second into memory nobody has used yet, with as many readers as are best.

    Args:
        dropped: off the disk; otherwise out of the cache, where it is by then.
    """
    return max(_speed(path, readers, dropped) for readers in _READERS)


def _speed(path: Path, readers: int, dropped: bool) -> float:
    if dropped:
        drop_from_cache([path])
    length = min(_READ, path.stat().st_size)

    def read(target: memoryview, start: int) -> None:
        os.preadv(descriptor, [target[start : start + _PIECE]], start)

    descriptor = os.open(path, os.O_RDONLY)
    try:
        with ThreadPoolExecutor(readers) as pool:
            began = time.perf_counter()
            list(pool.map(partial(read, np.empty(length, np.uint8).data), range(0, length, _PIECE)))
            return length / max(time.perf_counter() - began, math.ulp(1))
    finally:
        os.close(descriptor)
