"""Every end of the screen that its user has not asked for: the words typed are kept, the terminal is given back as it
was, `screen-crash.log` says what happened, and the program ends with 1.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Final

from flux2 import __version__
from flux2.paths import state_dir
from tui.terminal.inside_textual import InsideApp

EXIT_FAILED: Final = 1
LOG: Final = "screen-crash.log"
"""In the folder of the screen's state."""
_LOG_KEEPS = 100_000
"""Bytes of older entries."""
_NEVER_DEADLY = {"SIGCHLD", "SIGCONT", "SIGTSTP", "SIGTTIN", "SIGTTOU", "SIGURG", "SIGWINCH", "SIGINFO"}
_IGNORED = {"SIGPIPE", "SIGXFSZ"}
"""Signals that Python ignores, raising an exception instead."""
_OUT_OF_HAND = {"SIGKILL", "SIGSTOP", "SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL"}
"""What can't be handled, or comes again at once when the handler of a fault returns."""


def deadly_signals() -> list[int]:
    """All that end a program unless it handles them, and that can be handled."""
    left_alone = _NEVER_DEADLY | _IGNORED | _OUT_OF_HAND
    return [number for number in signal.valid_signals() if _name(number) not in left_alone]


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # one of the real-time signals
        return f"signal {number}"


class Endings:
    def __init__(self, app: InsideApp, log: Path, save: Callable[[], None]) -> None:
        """
        Args:
            log: the file that is to say what happened.
            save: writes down what is typed.
        """
        self._app, self._log, self._save = app, log, save
        self._failing = self._ending = False

    def heed_signals(self) -> None:
        for number in deadly_signals():
            signal.signal(number, self._signalled)

    def failed(self, error: BaseException) -> None:
        """Say that the screen has failed, and let Textual end it; the first failure counts."""
        if not self._failing:
            self._failing = True
            self._app.exit(return_code=EXIT_FAILED, message=self._keep(error))

    def broke_off(self, error: BaseException) -> int:
        """Exit code of a program that Textual itself ended by an exception, which is told and kept."""
        self._app.abandon_terminal("" if self._failing else self._keep(error) + "\n")
        return EXIT_FAILED

    def _keep(self, error: BaseException) -> str:
        return f"The screen failed ({_named(error)}); {self._keep_all(''.join(traceback.format_exception(error)))}"

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """End here and now: the terminal may be gone or stalled, and nothing must wait for it.

        Further signals change nothing: a second Ctrl-C is not to leave the terminal as it is.
        """
        if self._ending or (number in (signal.SIGINT, signal.SIGQUIT) and self._app.has_lent_terminal):
            return  # at it already; or meant for the editor
        self._ending = True
        told = self._keep_all(f"Ended by {_name(number)}. It was here:\n{''.join(traceback.format_stack(frame))}")
        self._app.abandon_terminal(f"flux2-tui was ended by {_name(number)}; {told}\n")
        os._exit(EXIT_FAILED)

    def _keep_all(self, happened: str) -> str:
        """Write down what is typed and what happened; half a sentence about it."""
        with suppress(Exception):
            self._save()
        return f"the worker goes on. {_logged(self._log, happened)}"


def could_not_start(error: Exception) -> int:
    """Say why there is no screen; the exit code."""
    where = _logged(state_dir() / LOG, "".join(traceback.format_exception(error)))
    print(f"flux2-tui could not start ({_named(error)}). {where}", file=sys.stderr)
    return EXIT_FAILED


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": ")


def _logged(log: Path, happened: str) -> str:
    """Where to read about it, in a sentence."""
    try:
        add_entry(log, happened)
    except OSError as error:
        return f"{log} can't be written ({error.strerror})."
    return f"Details: {log}"


def add_entry(log: Path, happened: str) -> None:
    """Append to the log what happened; of long ago it forgets.

    Raises:
        OSError: if it can't be written.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "ab+", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        if file.tell() > _LOG_KEEPS:
            file.seek(-_LOG_KEEPS, os.SEEK_END)
            kept = file.read()
            file.truncate(0)
            file.write(kept)
        head = f"{datetime.now().astimezone().isoformat(timespec='seconds')} flux2-tui {__version__}\n"
        file.write(f"{head}{happened.rstrip()}\n\n".encode("utf-8", "backslashreplace"))
