"""Every dialog is whole on small terminals: its title, what it says of its keys, and what can be chosen."""

from __future__ import annotations

import pytest
from textual.widgets import OptionList

from tests.tui.replay import ReplayBackend, left_after
from tests.tui.screen import running, settled, text_of

HINTS = {
    "m": "↑ ↓ or a letter, enter, esc, tab to type",
    "n": "r kept or read each step",
    "d": "tab to type",
    "t": "↑ ↓ or a letter, enter, esc",
    "i": "ctrl+t seed mode, enter, esc",
    "e": "enter, esc",
    "slash": "type to narrow down, ↑ ↓, enter, esc",
    "comma": "settings.toml",
    "question_mark": "↑ ↓ scroll, esc closes",
    "b": "↑ ↓ or a letter, enter, esc",
}
"""The end of a dialog's last line, by the key that opens it."""


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40)])
@pytest.mark.parametrize("key", HINTS)
async def test_the_last_line_and_the_title_are_there(key: str, size: tuple[int, int]) -> None:
    backend = ReplayBackend(unfinished=(left_after(3),))
    async with running(backend, size=size) as (app, pilot):
        app.prompt_history.add("an old one")
        app.dashboard.set_focus(None)
        app.clear_notifications()
        await pilot.press(key)
        await settled(pilot)
        shown = " ".join(line.strip(" │") for line in text_of(app).splitlines())
        assert HINTS[key].replace(" ", "") in shown.replace(" ", "")  # a long path is broken anywhere
        title = app.screen.query_one(".dialog-title")
        assert str(title.render()).split()[0] in shown
        for choices in app.screen.query(OptionList):
            assert choices.size.height >= min(3, choices.option_count)
            for key_pressed in ("end", "home"):  # the list scrolls: its ends can be reached
                await pilot.press(key_pressed)
        await settled(pilot)


@pytest.mark.parametrize("size", [(60, 16), (80, 24)])
async def test_whether_a_model_fits_is_not_cut_off(size: tuple[int, int]) -> None:
    async with running(ReplayBackend(), size=size) as (app, pilot):
        app.dashboard.set_focus(None)
        await pilot.press("m")
        await settled(pilot)
        assert "fits  " in text_of(app)
        await pilot.press("end")
        await settled(pilot)
        assert "does not fit  " in text_of(app)


async def test_lines_of_the_help_stay_in_their_column() -> None:
    async with running(ReplayBackend(), size=(60, 16)) as (app, pilot):
        app.dashboard.set_focus(None)
        await pilot.press("question_mark")
        await settled(pilot)
        lines = [line.strip("│ ") for line in text_of(app).splitlines()]
        place = next(index for index, line in enumerate(lines) if "while one" in line)
        whole = text_of(app).splitlines()
        assert whole[place + 1].index("runs, queue it") == whole[place].index("Make the picture")
