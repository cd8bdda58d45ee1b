"""The meter: what MLX holds, what the process takes, what the machine has left. All in bytes.

Every function here may be called from any thread; none touches an array.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from flux2.backend.chip import macos_version
from flux2.backend.mlx import mx, this_chip
from flux2.events import Memory

_process = psutil.Process()

SMALLEST_CACHE = 256 << 20
"""Bytes of freed arrays that are always kept: a block's activations, so that every block does not allocate anew."""


def read() -> Memory:
    """One reading; its peak is the most that was active since `reset_peak`."""
    active = mx.get_active_memory()
    return Memory(
        active=active,
        peak=max(active, mx.get_peak_memory()),  # MLX's peak starts at 0, and counts at the next allocation
        cache=mx.get_cache_memory(),
        footprint=footprint(),
        available=psutil.virtual_memory().available,
        swap=psutil.swap_memory().used,
    )


def reset_peak() -> None:
    """Start a new phase: its peak begins at what is active now."""
    mx.reset_peak_memory()


def free_cache() -> None:
    """Give back to the system what arrays have freed."""
    mx.clear_cache()


def limit_cache(count: int) -> None:
    """Let the allocator keep no more than so many bytes of freed arrays for new ones."""
    mx.set_cache_limit(max(SMALLEST_CACHE, count))


@contextmanager
def wired() -> Iterator[None]:
    """Have macOS page out none of MLX's arrays meanwhile, as far as it can (`flux2.backend.chip.Chip.wired_limit`).

    Weights that are kept for the next run are not worth other programs' memory, so that it ends with the context.
    """
    limit = this_chip().wired_limit(macos_version())
    if not limit:
        yield
        return
    before = mx.set_wired_limit(limit)
    try:
        yield
    finally:
        with suppress(RuntimeError):  # of the GPU's work, which is being told already
            mx.synchronize()
        mx.set_wired_limit(before)


def memory_limit() -> int:
    """What the process should stay below: Metal's recommended working set, the GPU's or the machine's own memory."""
    return this_chip().memory_limit


def device_name() -> str:
    """What computes, for people."""
    return this_chip().name


class _RusageInfo(ctypes.Structure):
    """`struct rusage_info_v0` of macOS's <sys/resource.h>."""

    _fields_ = (
        ("uuid", ctypes.c_uint8 * 16),
        ("user_time", ctypes.c_uint64),
        ("system_time", ctypes.c_uint64),
        ("pkg_idle_wkups", ctypes.c_uint64),
        ("interrupt_wkups", ctypes.c_uint64),
        ("pageins", ctypes.c_uint64),
        ("wired_size", ctypes.c_uint64),
        ("resident_size", ctypes.c_uint64),
        ("phys_footprint", ctypes.c_uint64),
        ("proc_start_abstime", ctypes.c_uint64),
        ("proc_exit_abstime", ctypes.c_uint64),
    )


def _phys_footprint() -> int:
    """What Activity Monitor shows: on macOS the resident size leaves out the GPU's and the compressed memory."""
    info = _RusageInfo()
    if ctypes.CDLL("/usr/lib/libproc.dylib").proc_pid_rusage(os.getpid(), 0, ctypes.byref(info)):
        return _resident_size()
    return int(info.phys_footprint)


def _resident_size() -> int:
    return int(_process.memory_info().rss)


footprint: Callable[[], int] = _phys_footprint if sys.platform == "darwin" else _resident_size
"""The process's own memory as the system counts it."""
