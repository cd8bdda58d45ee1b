"""What is known of the terminal before Textual starts: remote or local, its colours, its graphics protocol."""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

REMOTE_FPS = 15
LARGEST, ASSUMED = (800, 300), (80, 24)
"""Columns and rows that are believed, for no screen has more of them, and what is assumed where there are more: as many
cells as a terminal may claim, 65,535 × 65,535, no memory has."""
_CANT_DRAW = ("dumb", "unknown")
"""Values of TERM of what knows no escape sequences, like Emacs' shell."""
_KITTY_QUERY = "\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"
_ATTRIBUTES_QUERY = "\x1b[c"
_ATTRIBUTES_REPLY = re.compile(rb"\x1b\[\?([\d;]*)c")
_KITTY_REPLY = re.compile(rb"\x1b_Gi=31;OK\x1b\\")
_KITTY_ANSWER = re.compile(rb"\x1b_Gi=31[^\x1b]*\x1b\\")
_original: list[Any] | None = None
"""The terminal's attributes before `without_echo`."""
_typed_early = b""


def is_remote() -> bool:
    """Whether the terminal is at the other end of an ssh connection."""
    return bool(os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"))


def what_is_missing() -> str:
    """Why no screen can be shown, in a sentence; "" where one can."""
    if not (_is_terminal(sys.stdin) and _is_terminal(sys.stdout)):
        return "flux2-tui needs a terminal; in a script use `flux2 t2i`."
    term = os.environ.get("TERM", "")
    if term in _CANT_DRAW:
        return f"flux2-tui needs a terminal that can draw, and TERM is {term!r}; here use `flux2 t2i`."
    return ""


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether it is one; a stream that is closed is None, or says so."""
    with suppress(ValueError):
        return stream is not None and stream.isatty()
    return False


def _can_be_written(path: str) -> bool:
    with suppress(OSError, ValueError), Path(path).open("a"):
        return True
    return False


_TEXTUAL_VARIABLES: dict[str, Callable[[str], bool]] = {
    "TEXTUAL_COLOR_SYSTEM": ("auto", "standard", "256", "truecolor", "windows").__contains__,
    "TEXTUAL_LOG": _can_be_written,
}
"""Variables of Textual's own, of which other values end the program, and which values do not."""


def prepare_environment(fps: int = 0) -> list[str]:
    """Set what Textual reads from the environment when it is imported; what the user has set there stays.

    Args:
        fps: most redraws per second; 0 for what suits the terminal.

    Returns:
        A sentence for each variable that can't be used, and was taken away.
    """
    defaults = {"TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
    notes = []
    for name, bears in _TEXTUAL_VARIABLES.items():
        value = os.environ.get(name)
        if value is not None and not bears(value):
            del os.environ[name]
            notes.append(f"{name} is {value[:60]!r}, which can't be used; correct it or unset it.")
    if fps or is_remote():
        defaults["TEXTUAL_FPS"] = str(fps or REMOTE_FPS)
    for name, value in defaults.items():
        os.environ.setdefault(name, value)
    # ssh does not pass COLORTERM on; terminals of these names all have 24-bit colour.
    if not os.environ.get("COLORTERM") and re.search(
        r"kitty|ghostty|direct|alacritty|foot", os.environ.get("TERM", "")
    ):
        os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "truecolor")
    return notes


def trust_own_size() -> None:
    """Forget a size that the shell has exported: it may be an old one, and would count for more than the terminal's."""
    with suppress(OSError):
        columns, rows = os.get_terminal_size(sys.__stdout__.fileno())  # type: ignore[union-attr]
        if columns > LARGEST[0] or rows > LARGEST[1]:
            os.environ.update(COLUMNS=str(ASSUMED[0]), LINES=str(ASSUMED[1]))
        elif columns and rows:
            for name in ("COLUMNS", "LINES"):
                os.environ.pop(name, None)


def choose_graphics(wanted: str) -> str:
    """`auto` resolved to what final pictures are drawn with: half-cells unless the terminal says that it knows better.

    Only asked for where it may be true, for the answer takes a round trip: not in tmux or screen, which pass no
    graphics on, and not on a terminal that never had any.
    """
    if wanted != "auto":
        return wanted
    term, program = os.environ.get("TERM", ""), os.environ.get("TERM_PROGRAM", "")
    if os.environ.get("TMUX") or term.startswith(("screen", "tmux", "linux", "dumb")) or program == "Apple_Terminal":
        return "halfcell"
    likely = re.search(r"kitty|ghostty|foot|wezterm|mlterm", term) or program in ("WezTerm", "ghostty", "iTerm.app")
    found = probe_graphics() if likely else "halfcell"
    # The terminal keeps no sixels: all of them go over the line again whenever a menu has lain above them.
    return "halfcell" if found == "sixel" and is_remote() else found


def probe_graphics(timeout: float = 1.0) -> str:
    """Ask the terminal for its graphics protocol: "sixel", "kitty" or, failing an answer, "halfcell".

    Every terminal answers the request for its attributes, and in order. What else comes meanwhile was typed, or is a
    part of an answer that comes late: `typed_early` has it. Must be called before Textual reads the terminal.
    """
    global _typed_early
    if not (sys.__stdin__ and sys.__stdout__ and sys.__stdin__.isatty() and sys.__stdout__.isatty()):
        return "halfcell"
    with _raw(sys.__stdin__.fileno()) as descriptor:
        sys.__stdout__.write(_KITTY_QUERY + _ATTRIBUTES_QUERY)
        sys.__stdout__.flush()
        reply, end = b"", time.monotonic() + timeout
        with suppress(OSError):  # it is gone, which the screen will notice
            while not _ATTRIBUTES_REPLY.search(reply) and (left := end - time.monotonic()) > 0:
                if not (select.select([descriptor], [], [], left)[0] and (data := os.read(descriptor, 1024))):
                    break
                reply += data
    attributes = _ATTRIBUTES_REPLY.search(reply)
    _typed_early = _ATTRIBUTES_REPLY.sub(b"", _KITTY_ANSWER.sub(b"", reply))
    if attributes is None:
        return "halfcell"
    # Sixel first: some terminals claim Kitty's protocol but lack the placeholders that scrolling panes need.
    if b"4" in attributes[1].split(b";"):
        return "sixel"
    return "kitty" if _KITTY_REPLY.search(reply) else "halfcell"


def typed_early() -> bytes:
    """What was typed while the terminal was asked; once."""
    global _typed_early
    typed, _typed_early = _typed_early, b""
    return typed


@contextmanager
def without_echo() -> Iterator[None]:
    """Let what is typed and answered until the screen is there wait for it, unseen and unchanged."""
    global _original
    import termios

    descriptor = sys.__stdin__.fileno()  # type: ignore[union-attr]
    _original = before = termios.tcgetattr(descriptor)
    quiet = termios.tcgetattr(descriptor)
    quiet[0] &= ~termios.ICRNL
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    try:
        termios.tcsetattr(descriptor, termios.TCSANOW, quiet)
        yield
    finally:
        with suppress(termios.error):
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


def original_attributes() -> list[Any] | None:
    """What `without_echo` found, and the screen is to leave behind; once: later the shell may have set others."""
    global _original
    original, _original = _original, None
    return original


@contextmanager
def _raw(descriptor: int) -> Iterator[int]:
    import termios
    import tty

    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSANOW)  # by default it forgets what has been typed
        yield descriptor
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def cell_pixels() -> tuple[int, int]:
    """Width and height of a character cell in pixels, as the terminal reports them; 10 × 20 where it does not."""
    import fcntl
    import struct
    import termios

    try:
        reply = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, b"\0" * 8)  # type: ignore[union-attr]
    except (OSError, ValueError, AttributeError):
        return 10, 20
    rows, columns, width, height = struct.unpack("HHHH", reply)
    if not (rows and columns and width and height):
        return 10, 20
    return max(1, width // columns), max(1, height // rows)
