"""Keys that arrive all at once, as over a slow line, act in their order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from textual import events
from textual.keys import key_to_character

from tests.tui.replay import ReplayBackend
from tests.tui.screen import running
from tui.app import Flux2App

PASTED = "pasted"


def arrive(app: Flux2App, *keys: str) -> None:
    """All in one read of the terminal."""
    for key in keys:
        character = key_to_character(key)
        app.post_message(events.Paste(key) if key == PASTED else events.Key(key, character))


async def until(met: Callable[[], bool]) -> None:
    for _ in range(300):
        if met():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("not within three seconds")


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        (("x", "y", "backspace", "z"), "xz"),
        (("a", "c", "left", "b"), "abc"),
        (("a", PASTED, "backspace", "!"), "apaste!"),
        (("a", "ctrl+u", "b"), "b"),
    ],
)
async def test_typing_and_editing_keys_keep_their_order(keys: tuple[str, ...], text: str) -> None:
    async with running(ReplayBackend()) as (app, _):
        arrive(app, *keys)
        await until(lambda: app.dashboard.prompt.editor.text == text)


async def test_a_letter_reaches_the_menu_that_the_key_before_opens() -> None:
    async with running(ReplayBackend()) as (app, _):
        app.dashboard.set_focus(None)
        arrive(app, "n", "i")
        await until(lambda: app.choices.quantization == "int4")


async def test_a_number_reaches_the_field_that_the_key_before_opens() -> None:
    async with running(ReplayBackend()) as (app, _):
        app.dashboard.set_focus(None)
        arrive(app, "i", "6", "5", "backspace", "0", "enter", "l")
        await until(lambda: (app.choices.steps, app.choices.seed_mode) == (60, "locked"))


async def test_keys_after_a_dialog_has_closed_reach_what_is_below() -> None:
    async with running(ReplayBackend()) as (app, _):
        arrive(app, "a", "escape", "n", "down", "enter", "d", "b", "s", "escape", "enter", "b")
        await until(lambda: app.dashboard.prompt.editor.text == "ab")
        assert (app.choices.quantization, app.choices.size) == ("qint8", (320, 192))
