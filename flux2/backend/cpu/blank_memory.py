"""Memory that nobody has written to yet, for the CPU backend: who fills an array need not pay for zeros first.

`mx.zeros` writes them in one thread, which for new memory takes longer than reading a file into it with several. MLX
has no such array, but its reader of files hands over each array's memory to be filled: here it is taken as it is.
1 GiB out of the system's cache into `mx.zeros` takes 0.7 s, into this 0.2 (2 cores of an AMD EPYC).
"""

from __future__ import annotations

import ctypes
import json
import mmap
import sys

import numpy as np

from flux2.backend.mlx import mx, on_cpu

_HUGE_PAGES_FROM = 4 << 20
"""Bytes, from which memory is asked for in pages of 2 MiB where Linux gives them (NumPy's own limit): one fault instead
of 512, which is half of the time."""


def blank(nbytes: int) -> mx.array:
    """Evaluated uint8 [nbytes] of no particular content; on a GPU zeros."""
    if not on_cpu() or not nbytes:
        array = mx.zeros((nbytes,), dtype=mx.uint8)
        mx.eval(array)
        return array
    array: mx.array = mx.load(_Unwritten(nbytes), format="safetensors")["array"]  # type: ignore
    if nbytes >= _HUGE_PAGES_FROM:
        _ask_for_huge_pages(array)
    return array


class _Unwritten:
    """A safetensors file with one array, as far as `mx.load` looks at a file; its data are never written."""

    closed = False

    def __init__(self, nbytes: int) -> None:
        header = {"array": {"dtype": "U8", "shape": [nbytes], "data_offsets": [0, nbytes]}}
        encoded = json.dumps(header).encode()
        self._begin = len(encoded).to_bytes(8, "little") + encoded
        self._size = len(self._begin) + nbytes
        self._position = 0

    def seek(self, offset: int, origin: int = 0) -> None:
        self._position = offset + (0, self._position, self._size)[origin]

    def tell(self) -> int:
        return self._position

    def readinto(self, target: memoryview) -> int:
        known = self._begin[self._position : self._position + len(target)]
        target[: len(known)] = known
        self._position += len(target)
        return len(target)


def _ask_for_huge_pages(array: mx.array) -> None:
    """Advise the system to back the array with huge pages, which it may ignore."""
    if sys.platform == "linux":
        memory = np.asarray(array)
        first = -(-memory.ctypes.data // mmap.PAGESIZE) * mmap.PAGESIZE
        length = memory.ctypes.data + memory.nbytes - first
        _libc.madvise(ctypes.c_void_p(first), ctypes.c_size_t(length), mmap.MADV_HUGEPAGE)


_libc = ctypes.CDLL(None)
