"""A terminal that lies, stops, or is gone. However the screen ends, nothing typed is lost, and all is given back.

What single sequences mean is `tests/tui/test_terminal_events.py`'s, in whatever pieces `tests/fuzz/`'s.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flux2.paths import state_dir
from tests.terminal.pseudo_terminal import PseudoTerminal
from tests.terminal.test_screen import SCREEN, worker  # noqa: F401 — a fixture
from tests.tui.terminal_replies import REPLIES
from tests.worker.conftest import home  # noqa: F401 — a fixture
from tui.state.choices import load_choices
from tui.terminal.probe import prepare_environment

QUIT = b"\x11"
FAILING = """
import sys, tui.terminal.driver
from tui.__main__ import main
class Failing(tui.terminal.driver.TerminalInput):
    def feed(self, data):
        if b"!" in data:
            raise RuntimeError("no such byte")
        return super().feed(data)
tui.terminal.driver.TerminalInput = Failing
sys.exit(main(["--graphics", "halfcell"]))
"""
"""The screen with a fault in the thread that reads."""


def prompt() -> str:
    return load_choices(state_dir() / "screen.json").prompt


def log() -> str:
    return (state_dir() / "screen-crash.log").read_text("utf-8")


def assert_given_back(screen: PseudoTerminal) -> None:
    """The terminal is as it was: its attributes, the other screen, the mouse, pastes, keys, the cursor."""
    assert screen.attributes == screen.attributes_before
    for mode in (b"?1049", b"?1003", b"?1006", b"?2004", b"?1004"):
        assert screen.raw.rfind(mode + b"l") > screen.raw.rfind(mode + b"h"), mode
    assert screen.raw.rfind(b"\x1b[<u") > screen.raw.rfind(b"\x1b[>")
    assert screen.raw.rfind(b"?25h") > screen.raw.rfind(b"?25l")


@pytest.mark.usefixtures("worker")
async def test_nothing_that_the_terminal_says_is_a_key() -> None:
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"a \xe9red fox" + b"".join(REPLIES.values()))
        screen.send(b"\x1b[200~ in\x1b[0m the\nsnow\x1b[201~")
        screen.send(b"\x1b[200~ at night")
        screen.wait_for("at night")  # the paste has stood still
        screen.send(QUIT)
        assert screen.wait() == 0
        assert "Saved" not in screen.text and "step 1" not in screen.text
        assert_given_back(screen)
    assert prompt() == "a red fox in the\nsnow at night"


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1, signal.SIGTERM], ids=lambda number: number.name
)
@pytest.mark.usefixtures("worker")
async def test_a_signal(number: signal.Signals) -> None:
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.send(b"a red fox")
        screen.wait_for("red fox")
        screen.process.send_signal(number)
        screen.process.send_signal(number)  # whoever is impatient gets no other end
        assert screen.wait() == 1
        assert_given_back(screen)
        assert f"ended by {number.name}" in screen.text
    assert prompt() == "a red fox"
    assert f"Ended by {number.name}" in log()


@pytest.mark.usefixtures("worker")
async def test_an_exception_in_the_thread_that_reads() -> None:
    with PseudoTerminal(["-c", FAILING]) as screen:
        screen.wait_for("ready")
        screen.send(b"a red fox")
        screen.wait_for("red fox")
        screen.send(b"!")
        assert screen.wait() == 1
        assert_given_back(screen)
        assert "Traceback" not in screen.text
        assert "The screen failed (RuntimeError: no such byte)" in screen.text
    assert prompt() == "a red fox"
    assert "Traceback" in log()


@pytest.mark.usefixtures("worker")
async def test_a_terminal_that_is_gone_without_a_word() -> None:
    """A terminal as after `su -c`, `setsid` and `docker exec`, where no SIGHUP comes."""
    with PseudoTerminal(SCREEN, controlling=False) as screen:
        screen.wait_for("ready")
        screen.send(b"a red fox")
        screen.wait_for("red fox")
        began = time.monotonic()
        screen.hang_up()
        assert screen.wait() == 1
        assert time.monotonic() - began < 5
    assert prompt() == "a red fox"


@pytest.mark.usefixtures("worker")
async def test_stopped_by_what_it_can_not_hear_and_going_on() -> None:
    with PseudoTerminal(SCREEN) as screen:
        screen.wait_for("ready")
        screen.process.send_signal(signal.SIGSTOP)
        screen.forget()
        screen.process.send_signal(signal.SIGCONT)
        screen.wait_for_bytes(b"ready")  # painted anew
        screen.send(b"a red fox")
        screen.wait_for("red fox")
        screen.send(QUIT)
        assert screen.wait() == 0
        assert_given_back(screen)
    assert prompt() == "a red fox"


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_a_terminal_that_can_not_draw(term: str) -> None:
    code = "import os, sys; from tui.__main__ import main; os.environ['TERM'] = sys.argv.pop(); sys.exit(main([]))"
    with PseudoTerminal(["-c", code, term]) as screen:
        assert screen.wait() == 2
        assert (
            screen.text == f"flux2-tui needs a terminal that can draw, and TERM is '{term}'; here use `flux2 t2i`.\r\n"
        )


def test_closed_streams_are_no_terminal() -> None:
    code = "import os, sys; os.close(0); os.execv(sys.executable, [sys.executable, '-m', 'tui'])"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path.cwd(), env=os.environ)
    assert (ended.returncode, ended.stderr[:26]) == (2, "flux2-tui needs a terminal")


def test_a_variable_that_can_not_be_used_costs_that_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"TEXTUAL_COLOR_SYSTEM": "foo", "TEXTUAL_LOG": str(tmp_path / "no" / "log")})
    assert [note.split(" is ")[0] for note in prepare_environment()] == ["TEXTUAL_COLOR_SYSTEM", "TEXTUAL_LOG"]
    assert not {"TEXTUAL_COLOR_SYSTEM", "TEXTUAL_LOG"} & set(os.environ)
    usable = {"TEXTUAL_COLOR_SYSTEM": "256", "TEXTUAL_LOG": str(tmp_path / "log"), "TEXTUAL_FPS": "nonsense"}
    monkeypatch.setattr(os, "environ", dict(usable))
    assert prepare_environment() == []
    assert usable.items() <= os.environ.items()


@pytest.mark.usefixtures("worker")
async def test_an_editor_that_is_broken_off_gives_the_terminal_back() -> None:
    with PseudoTerminal(SCREEN, environment={**os.environ, "EDITOR": "sh -c 'echo in it; read line' sh"}) as screen:
        screen.send(b"typed early, ")
        screen.wait_for("ready")
        screen.send(b"a red fox")
        screen.wait_for("red fox")
        screen.send(b"\x1bOS")  # f4
        screen.wait_for("in it")
        screen.send(b"\x03")  # to the editor, as to all that the terminal runs
        screen.wait_for("ended with an error")
        screen.send(b" in the snow")
        screen.wait_for("the snow")
        screen.send(QUIT)
        assert screen.wait() == 0
        assert_given_back(screen)
    assert prompt() == "typed early, a red fox in the snow"


def test_a_screen_that_can_not_start_says_so_in_a_sentence() -> None:
    code = "import sys, tui.app; del tui.app.Flux2App; from tui.__main__ import main; sys.exit(main([]))"
    with PseudoTerminal(["-c", code]) as screen:
        assert screen.wait() == 1
        assert "Traceback" not in screen.text
        assert screen.text.splitlines()[-1].startswith("flux2-tui could not start (ImportError: ")
        assert screen.attributes == screen.attributes_before
    assert "Traceback" in log()


@pytest.mark.usefixtures("worker")
async def test_a_size_that_no_screen_has() -> None:
    with PseudoTerminal(SCREEN, size=(65535, 65535)) as screen:
        screen.wait_for("ready")
        screen.send(QUIT)
        assert screen.wait() == 0
