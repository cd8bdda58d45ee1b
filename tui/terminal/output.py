"""What is written to the terminal: all of it, or until the terminal is gone; at the very end without ever waiting."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress

_AT_ONCE = 8192
"""Characters that are collected before they are written, unless there is a break."""
_LAST_WORDS_WITHIN = 0.3
"""Seconds that the terminal has to take the last words."""


class TerminalOutput:
    """Takes the place of a text file: UTF-8 in every locale, and nothing is raised where the terminal is gone."""

    def __init__(self, descriptor: int, gone: Callable[[], None]) -> None:
        """
        Args:
            descriptor: the terminal's.
            gone: called where it can no longer be written to.
        """
        self._descriptor, self._gone = descriptor, gone
        self._waiting: list[str] = []
        self._length = 0
        self._closed = False

    def write(self, text: str) -> None:
        self._waiting.append(text)
        self._length += len(text)
        if self._length >= _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        data = "".join(self._waiting).encode("utf-8", "replace")
        self._waiting.clear()
        self._length = 0
        while data and not self._closed:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:  # another program has made the terminal so; it is the same one for all
                select.select([], [self._descriptor], [])
            except OSError:
                self._closed = True
                self._gone()

    def fileno(self) -> int:
        return self._descriptor

    def close(self) -> None:
        """Write no more of what is waiting."""
        self._closed = True

    def last_words(self, text: str) -> None:
        """Write this, whatever else is being written, but wait for nothing: the terminal may be stalled or gone."""
        data = text.encode("utf-8", "replace")
        deadline = time.monotonic() + _LAST_WORDS_WITHIN
        with suppress(OSError):
            descriptor = _unblocked(self._descriptor)
            while data and (left := deadline - time.monotonic()) > 0:
                with suppress(BlockingIOError):  # another thread's write may have it
                    if select.select([], [descriptor], [], left)[1]:
                        data = data[os.write(descriptor, data) :]


def _unblocked(descriptor: int) -> int:
    """Descriptor of the same terminal opened again, not to block; where that can't be, as after `su`, this one."""
    try:
        return os.open(os.ttyname(descriptor), os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
    except OSError:
        return descriptor
