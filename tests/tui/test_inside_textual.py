"""What is changed inside Textual still fits this version of it, and does what it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tui.inside_textual import EscapeFirstParser, missing


def test_this_version_of_textual_bears_all_of_it() -> None:
    assert missing() == []


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1bm", ["escape", "m"]),
        ("\x1bmq", ["escape", "m", "q"]),
        ("\x1b?", ["escape", "question_mark"]),
        ("\x1b3", ["escape", "3"]),
        ("\x1b-", ["escape", "minus"]),
        ("\x1b\r", ["alt+enter"]),
        ("\x1b", ["escape"]),
        ("\x1b[A", ["up"]),
        ("\x1bb", ["ctrl+left"]),  # option and an arrow on a Mac
        ("\x1b[15~", ["f5"]),
        ("£", ["pound_sign"]),
        ("m", ["m"]),
    ],
)
def test_escape_and_a_key_at_once(sent: str, keys: list[str]) -> None:
    parser = EscapeFirstParser()
    events = [*parser.feed(sent), *parser.feed("")]
    assert [event.key for event in events] == keys


WITHOUT = """
import asyncio, sys, types
from pathlib import Path

source = Path("tui/inside_textual.py").read_text()
for test in ("code is not None and", "isinstance(vars(", "getattr(message_pump"):
    assert test in source
    source = source.replace(test, "False and " + test)
module = types.ModuleType("tui.inside_textual")
sys.modules[module.__name__] = module
exec(compile(source, "inside_textual.py", "exec"), module.__dict__)

from tests.tui.replay import mid_run
from tests.tui.screen import running, settled, text_of

async def main():
    async with running(mid_run(), remote=True) as (app, pilot):
        await pilot.press("escape", "ctrl+l", "n", "i")
        await settled(pilot)
        app.preferences.set("theme", "paper")
        await settled(pilot)
        print(len(module.missing()), app.choices.quantization, app.theme, "step 7 of 12" in text_of(app))

asyncio.run(main())
"""
"""What a version of Textual would find that bears none of it."""


def test_the_program_works_without_it() -> None:
    ended = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["10", "int4", "paper", "True"]
