"""Tensors read while others are computed with, so that a network larger than memory passes through it.

Weights come in groups (a block, half a layer). While the caller works with one group, a thread reads the next one;
no third is ever held. MLX stays on the caller's thread: the reading thread only fills memory that was allocated for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from flux2.checkpoint.safetensors_file import OnBytes, TensorBuffer, TensorInfo
from flux2.mlx_backend import mx

Group = list[TensorInfo]
UseGroup = Callable[[int, list[mx.array]], None]
"""Works with the tensors of the group of this number, in the group's order; when it returns it must have evaluated
what it computes from them, and kept none."""


def stream(groups: Iterable[Group], use: UseGroup) -> None:
    """Call `use` with the tensors of each group in turn, reading the next group meanwhile.

    Raises:
        CheckpointError: if a file can't be read to the end.
        Exception: whatever `use` raises; nothing is read any more when it gets out.
    """
    stop = Event()

    def check(_: int) -> None:
        if stop.is_set():
            raise _Stopped

    ahead: _Reading | None = None
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        try:
            for number, group in enumerate([*groups, []]):  # the empty one lets the last go through
                current, ahead = ahead, _Reading(group, thread, check)
                if current:
                    use(number - 1, current.tensors())
        finally:
            stop.set()


class _Reading:
    """A group on its way from the file."""

    def __init__(self, group: Group, thread: ThreadPoolExecutor, on_bytes: OnBytes) -> None:
        self._buffers = [TensorBuffer(info) for info in group]
        self._done = thread.submit(_fill, self._buffers, on_bytes)

    def tensors(self) -> list[mx.array]:
        """Wait until all is read and hand the tensors over. Raises what the reading raised."""
        self._done.result()
        tensors = [buffer.array() for buffer in self._buffers]
        self._buffers.clear()
        return tensors


def _fill(buffers: list[TensorBuffer], on_bytes: OnBytes) -> None:
    for buffer in buffers:
        buffer.fill(on_bytes)


class _Stopped(Exception):  # noqa: N818 — no error, but how the reading thread hears that nobody waits for it
    pass
