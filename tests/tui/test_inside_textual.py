"""What is changed inside Textual still fits this version of it, and does what it is for."""

from __future__ import annotations

import subprocess
import sys

import pytest
from textual_image import _terminal

from tui.terminal.inside_textual import missing
from tui.terminal.picture import bearable


def test_this_version_of_textual_bears_all_of_it() -> None:
    assert missing() == []


def test_a_textual_image_that_asks_the_terminal_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bearable("kitty") == "kitty"
    monkeypatch.setattr(_terminal, "get_cell_size", lambda: (10, 20))  # one that keeps no result
    assert [bearable(graphics) for graphics in ("kitty", "sixel", "none")] == ["halfcell", "halfcell", "none"]
    monkeypatch.delattr(_terminal, "get_cell_size")
    assert bearable("kitty") == "halfcell"


WITHOUT = """
import asyncio, sys, types
from pathlib import Path

source = Path("tui/terminal/inside_textual.py").read_text()
for test in ("code is not None and", "isinstance(vars(", "getattr(message_pump", "all(name in owner"):
    assert test in source
    source = source.replace(test, "False and " + test)
module = types.ModuleType("tui.terminal.inside_textual")
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
