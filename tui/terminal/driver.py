"""Textual's driver, but it trusts the terminal in nothing: not its bytes, not its size, not that it is still there.

Textual's own ends with a traceback at a byte that is no UTF-8 (https://github.com/Textualize/textual/issues/6456),
types what it does not understand, spins where the terminal is gone (https://github.com/Textualize/textual/pull/6690),
and after SIGSTOP takes its own settings of the terminal for the user's.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
import termios
import time
from contextlib import suppress
from typing import Any

from textual.drivers.linux_driver import LinuxDriver

from tui.terminal.events import TerminalEvents
from tui.terminal.input import LONGEST_PASTE, Paste, TerminalInput, Token
from tui.terminal.output import TerminalOutput
from tui.terminal.probe import ASSUMED, LARGEST, original_attributes, typed_early

_LOOK_EVERY = 0.1
"""Seconds between looks whether to end."""
_LOOK_FIRST = 0.01
"""Seconds between looks before the screen is there."""
_AT_ONCE = 16_384
"""Bytes that are read at once."""


def hang_up() -> None:
    """End as at a hang-up, of which the system says nothing after `su -c`, `setsid` and `docker exec`."""
    os.kill(os.getpid(), signal.SIGHUP)


class TerminalDriver(LinuxDriver):
    def __init__(self, app: Any, **options: Any) -> None:
        super().__init__(app, **options)
        assert sys.__stdout__ is not None  # the program has looked
        self._file: Any = TerminalOutput(sys.__stdout__.fileno(), hang_up)
        self._has_terminal = False

    # --- beginning and end -------------------------------------------------------------------------------------------

    def start_application_mode(self) -> None:
        if not self._is_there():  # Textual's own would go on without input and output
            hang_up()
            return
        super().start_application_mode()  # type: ignore[no-untyped-call]
        self.attrs_before = original_attributes() or self.attrs_before
        self._has_terminal = True

    def stop_application_mode(self) -> None:
        self._has_terminal = False
        super().stop_application_mode()

    @property
    def has_terminal(self) -> bool:
        """Whether the terminal is this program's now, and not the shell's or an editor's."""
        return self._has_terminal

    def abandon(self, last_words: str) -> None:
        """Give the terminal back at once, in the midst of whatever is going on, and write a last sentence."""
        self._file.close()
        restoring = _Collected()
        if self._has_terminal:
            self._writer_thread = restoring  # type: ignore[assignment]
            restoring.write("\x1b\\")  # whatever sequence was cut short
            with suppress(Exception):
                self.stop_application_mode()
        self._file.last_words("".join(restoring) + last_words)

    def _sigcont_application(self, *_: Any) -> None:
        """Go on after a stop. SIGSTOP can't be noticed when it comes: the terminal has been the shell's since."""
        if self._auto_restart and self._has_terminal:
            self.suspend_application_mode()
            self._must_signal_resume = True
        super()._sigcont_application()

    # --- what the terminal says --------------------------------------------------------------------------------------

    def _query_in_band_window_resize(self) -> None:
        """Ask for no sizes among the input; the system tells them."""

    def _get_terminal_size(self) -> tuple[int, int]:
        width, height = super()._get_terminal_size()
        return (width, height) if width <= LARGEST[0] and height <= LARGEST[1] else ASSUMED

    def _run_input_thread(self) -> None:
        try:
            self.run_input_thread()
        except Exception as error:
            self._loop.call_soon_threadsafe(self._app._handle_exception, error)

    def run_input_thread(self) -> None:
        """Read until told to end, or until the terminal is gone."""
        input_, events = TerminalInput(), TerminalEvents(self._get_terminal_size)

        def hand_on(tokens: list[Token]) -> None:
            for token in tokens:
                if isinstance(token, Paste) and token.cut:
                    self._loop.call_soon_threadsafe(self._tell_of_cut)
                for event in events.of(token):
                    self.process_message(event)

        with selectors.SelectSelector() as selector:
            selector.register(self.fileno, selectors.EVENT_READ)
            while not (getattr(self._app, "takes_input", True) or self.exit_event.wait(_LOOK_FIRST)):
                pass  # what is typed before there is a field waits for it
            last = time.monotonic()
            hand_on(input_.feed(typed_early()))
            while not self.exit_event.is_set():
                patience = input_.patience
                left = _LOOK_EVERY if patience is None else last + patience - time.monotonic()
                if selector.select(max(0.0, min(_LOOK_EVERY, left))):
                    data = self._read()
                    if data is None:
                        hang_up()
                        return
                    last = time.monotonic() if data else last
                    hand_on(input_.feed(data))
                elif patience is not None and time.monotonic() >= last + patience:
                    last = time.monotonic()
                    hand_on(input_.stood_still())

    def _read(self) -> bytes | None:
        """What there is to read; None where nothing will come any more."""
        try:
            data = os.read(self.fileno, _AT_ONCE)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError:
            return None
        return data if data or self._is_there() else None

    def _is_there(self) -> bool:
        try:
            termios.tcgetattr(self.fileno)
        except termios.error:
            return False
        return True

    def _tell_of_cut(self) -> None:
        self._app.notify(
            f"Only the first {LONGEST_PASTE:,} bytes of what was pasted were taken.", severity="warning", markup=False
        )


class _Collected(list[str]):
    """Takes the writer thread's place for the time of restoring."""

    write = list.append
