"""Word to the terminal itself, which passes it on to the laptop: the window's title, and notices of an end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from flux2.humanize import clock, printable
from tui.lines.text import ellipsis
from tui.state.session import Session

_LONGEST = 120
"""Characters of a notice."""

SAVE_TITLE, RESTORE_TITLE = "\x1b[22;2t", "\x1b[23;2t"
"""Two of xterm's window operations; terminals without a stack of titles pass them over."""


def notice(kind: str, title: str, text: str, environment: Mapping[str, str] = os.environ) -> str:
    """What to write for a notice.

    Args:
        kind: one of `flux2.settings.NOTICES`: a bell, the message of iTerm2 and others (OSC 9), or that of urxvt,
            Ghostty and others (OSC 777).
    """
    title, text = (ellipsis(printable(part), _LONGEST).replace(";", ",") for part in (title, text))
    match kind:
        case "bell":
            return "\a"
        case "osc9":
            return _through_tmux(f"\x1b]9;{title}: {text}\a", environment)
        case "osc777":
            return _through_tmux(f"\x1b]777;notify;{title};{text}\a", environment)
        case _:
            return ""


def _through_tmux(sequence: str, environment: Mapping[str, str]) -> str:
    """tmux hands on what is wrapped so, where its `allow-passthrough` is on."""
    if not environment.get("TMUX"):
        return sequence
    return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"


class WindowTitle:
    """Keeps the title; writes only what is new."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._shown = ""

    def show(self, session: Session) -> None:
        title = title_of(session)
        if title != self._shown:
            self._write(("" if self._shown else SAVE_TITLE) + f"\x1b]2;{title}\a")
            self._shown = title

    def restore(self) -> None:
        if self._shown:
            self._write(RESTORE_TITLE)
            self._shown = ""


def title_of(session: Session) -> str:
    """`6:12 left, step 11 of 28 - flux2-tui`, as far as it is known; minutes beyond the first two."""
    run = session.run
    if run is None or not session.running:
        return "flux2-tui"
    eta = run.eta(session.now)
    left = "" if eta is None else f"{clock(eta if eta < 120 else round(eta / 60) * 60)} left, "
    where = f"step {run.step} of {run.steps}" if run.phase == "denoise" else run.phase or "running"
    return f"{left}{where} - flux2-tui"
