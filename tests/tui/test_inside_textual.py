"""What is changed inside Textual still fits this version of it, and does what it is for."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from textual.css import stylesheet
from textual.css.model import RuleSet
from textual_image import _terminal

from tests.tui.replay import ReplayBackend
from tests.tui.screen import running, settled
from tui.terminal.inside_textual import missing
from tui.terminal.picture import bearable
from tui.terminal.stylesheets import _parsed


def test_this_version_of_textual_bears_all_of_it() -> None:
    assert missing() == []


async def test_a_stylesheet_is_parsed_once_for_each_set_of_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[tuple[object, ...]] = []
    parse = stylesheet.parse

    def counted(scope: str, css: str, read_from: tuple[str, str], **how: Any) -> Iterator[RuleSet]:
        parsed.append((scope, css, read_from, how["is_default_rules"], how["tie_breaker"]))
        return parse(scope, css, read_from, **how)

    monkeypatch.setattr(stylesheet, "parse", counted)
    _parsed.cache_clear()
    async with running(ReplayBackend()) as (app, pilot):
        assert len(parsed) == len(set(parsed)) > 20
        before = app.screen.styles.background
        parsed.clear()
        app.preferences.set("theme", "paper")
        await settled(pilot)
        assert app.screen.styles.background != before
        assert len(parsed) == len(set(parsed)) > 20


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
    assert ended.stdout.split() == ["11", "int4", "paper", "True"]
