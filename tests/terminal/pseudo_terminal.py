"""A pseudo-terminal: a program on its one end, a test at the other as the person or the terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pyte

PATIENCE = 60.0
"""Seconds that something may take on a loaded machine."""
LARGEST = 500
"""Columns and rows that are looked at of a terminal of a size that none has."""
_ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|[PX^_].*?\x1b\\|.)", re.DOTALL)
_UNFINISHED = re.compile(rb"\x1b(\[[0-?]*[ -/]*|[\]PX^_](?:(?!\x1b\\)[^\x07])*)?\Z", re.DOTALL)
"""An escape sequence whose rest is yet to be read."""
_SHOWN = re.compile(rb"\x1b\[[0-9;]*[@-~]")
"""Sequences that say where and how characters are shown."""


class PseudoTerminal:
    """Runs `python ARGUMENTS` in a terminal of its own."""

    def __init__(
        self,
        arguments: Sequence[str],
        size: tuple[int, int] = (120, 40),
        environment: Mapping[str, str] = os.environ,
        *,
        controlling: bool = True,
    ) -> None:
        """
        Args:
            controlling: whether the program is told (SIGHUP) when the terminal goes away.
        """
        self._main, terminal = pty.openpty()
        self._seen = b""
        self._unshown = self._text = b""
        self._screen = pyte.Screen(1, 1)
        self._stream = pyte.ByteStream(self._screen)
        self.attributes_before = self.attributes
        self.resize(*size)
        known = {"TERM": "xterm-256color", "COLORTERM": "truecolor", "PYTHONPATH": str(Path.cwd())}
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            env={**environment, **known},
            start_new_session=True,
            preexec_fn=(lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0)) if controlling else None,
        )
        os.close(terminal)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        if self._main >= 0:
            os.close(self._main)

    def resize(self, columns: int, rows: int) -> None:
        self._screen.resize(min(rows, LARGEST), min(columns, LARGEST))
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send(self, data: str | bytes) -> None:
        """Type; reads meanwhile, lest both sides wait for each other."""
        rest = data.encode() if isinstance(data, str) else data
        while rest:
            ready_in, ready_out, _ = select.select([self._main], [self._main], [], PATIENCE)
            if ready_in:
                self._read()
            if ready_out:
                rest = rest[os.write(self._main, rest[:1024]) :]

    def wait_for(self, text: str, patience: float = PATIENCE) -> float:
        """Read until the terminal shows this text, or it was written in one piece; the seconds that it took.

        A word that is shown need not have been written as one: what was in its place before may have had letters of it.
        """
        return self.wait_until(lambda: text in self.shown or text in self.text, repr(text), patience)

    def wait_till_gone(self, text: str, patience: float = PATIENCE) -> float:
        """Read until the terminal no longer shows this text; the seconds that it took."""
        return self.wait_until(lambda: text not in self.shown, f"the end of {text!r}", patience)

    def wait_for_bytes(self, wanted: bytes, patience: float = PATIENCE) -> float:
        """Read until these bytes have been written; the seconds that it took."""
        return self.wait_until(lambda: wanted in self._seen, repr(wanted), patience)

    def wait_until(self, holds: Callable[[], bool], what: str, patience: float = PATIENCE) -> float:
        """Read until what was written has this property; the seconds that it took."""
        began = time.monotonic()
        while not holds():
            left = began + patience - time.monotonic()
            ready = left > 0 and select.select([self._main], [], [], left)[0]
            assert ready, f"{what} did not come\n{self.shown}"
            assert self._read(), f"{what} did not come before the end\n{self.shown}\n{self.text[-2000:]!r}"
        return time.monotonic() - began

    def read_for(self, seconds: float) -> None:
        """Read whatever is written within so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if select.select([self._main], [], [], left)[0]:
                self._read()

    def forget(self) -> None:
        """What was written so far no longer counts, but for what the terminal shows of it."""
        while select.select([self._main], [], [], 0.05)[0] and self._read():
            pass
        self._seen = self._text = b""

    @property
    def shown(self) -> str:
        """Lines that the terminal shows now."""
        return "\n".join(self._screen.display)

    @property
    def text(self) -> str:
        """Everything written, without escape sequences."""
        return self._text.decode(errors="replace")

    @property
    def raw(self) -> bytes:
        return self._seen

    @property
    def attributes(self) -> list[Any]:
        """Whether it echoes, waits for whole lines, makes signals of keys, and so on."""
        return termios.tcgetattr(self._main)

    def hang_up(self) -> None:
        """The connection drops."""
        os.close(self._main)
        self._main = -1

    def wait(self) -> int:
        """The program's exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._main >= 0 and select.select([self._main], [], [], 0.02)[0]:
                self._read()
            else:
                time.sleep(0.01)
        code = self.process.poll()
        assert code is not None, f"it did not end; the last was {self.text[-2000:]!r}"
        while self._main >= 0 and select.select([self._main], [], [], 0.05)[0] and self._read():
            pass
        return code

    def _read(self) -> bool:
        try:
            data = os.read(self._main, 65536)
        except OSError:  # the other end is closed
            return False
        self._seen += data
        self._show(data)
        return bool(data)

    def _show(self, data: bytes) -> None:
        data = self._unshown + data
        whole = rest.start() if (rest := _UNFINISHED.search(data)) else len(data)
        self._unshown = data[whole:]
        self._text += _ESCAPES.sub(b"", data[:whole])
        self._stream.feed(_ESCAPES.sub(lambda found: found[0] if _SHOWN.fullmatch(found[0]) else b"", data[:whole]))
