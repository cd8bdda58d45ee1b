"""Fields for text: one key for one character as a reader counts them, and an undo that ends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets.text_area import Selection

from tui.terminal.graphemes import end_of, start_of
from tui.widgets.fields import Editor, Field

CHARACTERS = {
    "family": "👩‍👩‍👧‍👦",
    "flag": "🇩🇪",
    "sign and its style": "〽️",
    "accent": "e\u0301",
    "skin": "👋🏽",
    "keycap": "1️⃣",
    "Hangul": "\u1100\u1161\u11a8",
    "letter": "a",
}


class Fields(App[None]):
    CSS = "Editor { height: 4; width: 20; border: none; }"

    def compose(self) -> ComposeResult:
        yield Editor(compact=True)
        yield Field()


@pytest.fixture
async def pilot() -> AsyncIterator[Pilot[None]]:
    async with Fields().run_test() as pilot:
        yield pilot


@pytest.mark.parametrize("character", CHARACTERS.values(), ids=CHARACTERS.keys())
def test_where_a_character_begins_and_ends(character: str) -> None:
    text = f"{character * 2} {character}"
    size = len(character)
    for index in range(size):
        assert (start_of(text, index), end_of(text, index)) == (0, size)
        assert (start_of(text, size + index), end_of(text, size + index)) == (size, 2 * size)
        assert (start_of(text, 2 * size + 1 + index), end_of(text, 2 * size + 1 + index)) == (2 * size + 1, len(text))
    assert (start_of(text, -1), start_of(text, 99)) == (0, len(text))


async def test_one_key_for_one_character(pilot: Pilot[None]) -> None:
    editor, field = pilot.app.query_one(Editor), pilot.app.query_one(Field)
    for character in CHARACTERS.values():
        text, size = f"x{character}{character}y", len(character)
        for place, keys, left in [
            (1 + 2 * size, ("backspace",), f"x{character}y"),
            (1, ("delete",), f"x{character}y"),
            (1, ("right", "backspace"), f"x{character}y"),
            (1 + 2 * size, ("left", "left", "backspace"), f"{character * 2}y"),
            (1, ("shift+right", "shift+right", "backspace"), "xy"),
            (1 + 2 * size, ("shift+left", "delete"), f"x{character}y"),
            (0, ("backspace", "left"), text),
            (len(text), ("delete", "right"), text),
        ]:
            editor.focus()
            editor.load_text(text)
            editor.move_cursor((0, place))
            await pilot.press(*keys)
            assert editor.text == left, (character, keys)
            field.focus()
            await pilot.pause()  # all is selected then
            field.value = text
            field.cursor_position = place
            await pilot.press(*keys)
            assert field.value == left, (character, keys)


async def test_up_and_down_never_stop_in_a_character(pilot: Pilot[None]) -> None:
    editor = pilot.app.query_one(Editor)
    editor.focus()
    editor.load_text("abc\n👩‍👩‍👧‍👦x\nabc")
    for column in range(4):
        editor.move_cursor((0, column))
        await pilot.press("down")
        assert editor.cursor_location in ((1, 0), (1, 7), (1, 8))


async def test_half_a_flag_typed_before_another_stays_where_it_was_typed(pilot: Pilot[None]) -> None:
    editor = pilot.app.query_one(Editor)
    editor.focus()
    editor.load_text("🇫🇷")
    for half in "🇩🇪":
        editor.insert(half)
    assert editor.text == "🇩🇪🇫🇷"


@pytest.mark.parametrize("lines", [3, 8, 60])
async def test_undoing_and_redoing_a_long_paste(pilot: Pilot[None], lines: int) -> None:
    editor = pilot.app.query_one(Editor)
    editor.focus()
    text = "\n".join(f"line {number}" for number in range(lines))
    for before in ("", "a fox", "a fox\nin the snow"):
        editor.load_text(before)
        editor.selection = Selection(editor.document.end, editor.document.end)
        editor.replace(text, *editor.selection, maintain_selection_offset=False)
        for _ in range(2):
            await pilot.press("ctrl+z")
            assert editor.text == before
            await pilot.press("ctrl+y")
            assert editor.text == before + text
