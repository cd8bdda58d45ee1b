"""What the terminal answers to the one question about its graphics, early, late, wrongly or never."""

from __future__ import annotations

import time

import pytest

from tests.terminal.pseudo_terminal import PseudoTerminal
from tui.terminal.probe import choose_graphics

ASK = """
import sys, select, os, termios, tty
from tui.terminal.probe import probe_graphics
print("answer:", probe_graphics(timeout=0.6), flush=True)
tty.setcbreak(0)
ready, _, _ = select.select([0], [], [], 0.3)
print("left:", os.read(0, 1000) if ready else b"", flush=True)
"""
KITTY, SIXEL, PLAIN = b"\x1b_Gi=31;OK\x1b\\", b"\x1b[?62;4;22c", b"\x1b[?62;22c"


@pytest.mark.parametrize(
    ("reply", "latency", "answer"),
    [
        (KITTY + PLAIN, 0.0, "kitty"),
        (KITTY + PLAIN, 0.3, "kitty"),
        (SIXEL, 0.15, "sixel"),
        (PLAIN, 0.15, "halfcell"),
        (b"\x1b_Gi=31;ENOTSUPPORTED:no\x1b\\" + PLAIN, 0.0, "halfcell"),
        (b"garbage \xff\x00" + PLAIN, 0.0, "halfcell"),
        (b"", 0.0, "halfcell"),
    ],
    ids=["kitty", "kitty-late", "sixel-late", "plain", "refused", "garbage", "silent"],
)
def test_the_answer_is_understood_and_nothing_leaks(reply: bytes, latency: float, answer: str) -> None:
    with PseudoTerminal(["-c", ASK]) as terminal:
        terminal.wait_for_bytes(b"\x1b[c")
        time.sleep(latency)
        terminal.send(reply)
        terminal.wait_for(f"answer: {answer}")
        terminal.wait_for("left: b''")


@pytest.mark.parametrize(
    ("found", "over_ssh", "chosen"),
    [
        ("sixel", "", "sixel"),
        ("sixel", "10.0.0.1 1 10.0.0.2 22", "halfcell"),
        ("kitty", "10.0.0.1 1 10.0.0.2 22", "kitty"),
    ],
)
def test_sixels_go_over_ssh_where_they_are_asked_for_only(
    found: str, over_ssh: str, chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.terminal.probe.probe_graphics", lambda: found)
    monkeypatch.setenv("TERM", "foot")
    monkeypatch.delenv("TMUX", raising=False)
    monkeypatch.delenv("SSH_TTY", raising=False)
    monkeypatch.setenv("SSH_CONNECTION", over_ssh)
    assert choose_graphics("auto") == chosen
    assert choose_graphics("sixel") == "sixel"


def test_a_silent_terminal_costs_no_more_than_the_timeout() -> None:
    with PseudoTerminal(["-c", ASK]) as terminal:
        terminal.wait_for_bytes(b"\x1b[c")
        assert terminal.wait_for("answer: halfcell") < 3.0
