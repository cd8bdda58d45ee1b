"""Tensors read while others are computed with, so that a network larger than memory passes through it.

Weights come in groups (a block, half a layer). While the caller works with one group, a thread reads the next one;
no third is ever held. MLX stays on the caller's thread: the reading thread only fills memory that was allocated for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Event

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import OnBytes, TensorBuffer, TensorInfo

Group = list[TensorInfo]
UseGroup = Callable[[int, list[mx.array]], None]
"""Works with the tensors of the group of this number, in the group's order; when it returns it must have evaluated
what it computes from them, and kept none."""

_PATIENCE = 0.1  # seconds of waiting for the disk after which a cancel is heard


def stream(groups: Iterable[Group], use: UseGroup) -> None:
    """Call `use` with the tensors of each group in turn, reading the next group meanwhile.

    Raises:
        CheckpointError: if a file can't be read to the end.
        Exception: whatever `use` raises; nothing is read any more when it gets out.
    """
    groups = list(groups)
    with reading_ahead(groups) as ahead:
        for number in range(len(groups)):
            use(number, ahead.take())


@contextmanager
def reading_ahead(groups: Iterable[Group], while_waiting: Callable[[], None] = lambda: None) -> Iterator[ReadAhead]:
    """Groups to be taken one after the other; the first is being read from now on, and nothing after the context.

    Args:
        while_waiting: called often while a group is waited for; may raise to give up.
    """
    stop = Event()
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="read-ahead") as thread:
        ahead = ReadAhead(iter(groups), thread, stop, while_waiting)
        try:
            yield ahead
        finally:
            stop.set()
            ahead.forget()


class ReadAhead:
    """Hands over a group at a time. Made by `reading_ahead`."""

    def __init__(
        self, groups: Iterator[Group], thread: ThreadPoolExecutor, stop: Event, while_waiting: Callable[[], None]
    ) -> None:
        self.waited = 0.0
        """Seconds that the caller had to wait for the disk so far."""
        self._groups = groups
        self._thread = thread
        self._stop = stop
        self._while_waiting = while_waiting
        self._next = self._begin()

    def take(self) -> list[mx.array]:
        """The next group's tensors, in its order; from now on the one after it is read.

        Whatever was computed from the group before must be evaluated by now, and none of its tensors kept.

        Raises:
            CheckpointError: if a file can't be read to the end.
            IndexError: if there is no further group.
        """
        if self._next is None:
            raise IndexError("all groups were taken")
        began = time.perf_counter()
        while not self._next.is_there(_PATIENCE):
            self._while_waiting()
        self.waited += time.perf_counter() - began
        tensors, self._next = self._next.tensors(), None
        self._next = self._begin()
        return tensors

    def forget(self) -> None:
        """Let go of what was read and not taken."""
        self._next = None

    def _begin(self) -> _Reading | None:
        group = next(self._groups, None)
        return None if group is None else _Reading(group, self._thread, self._check)

    def _check(self, _: int) -> None:
        if self._stop.is_set():
            raise _Stopped


class _Reading:
    """A group on its way from the file."""

    def __init__(self, group: Group, thread: ThreadPoolExecutor, on_bytes: OnBytes) -> None:
        self._buffers = [TensorBuffer(info) for info in group]
        self._done: Future[None] = thread.submit(_fill, self._buffers, on_bytes)

    def is_there(self, timeout: float) -> bool:
        """Whether all is read, or has failed, after waiting so many seconds for it."""
        return bool(wait([self._done], timeout).done)

    def tensors(self) -> list[mx.array]:
        """Hand the tensors over, once they are there. Raises what the reading raised."""
        self._done.result()
        tensors = [buffer.array() for buffer in self._buffers]
        self._buffers.clear()
        return tensors


def _fill(buffers: list[TensorBuffer], on_bytes: OnBytes) -> None:
    for buffer in buffers:
        buffer.fill(on_bytes)


class _Stopped(Exception):  # noqa: N818 — no error, but how the reading thread hears that nobody waits for it
    pass
