"""Terminals of every size, and their changes."""

from __future__ import annotations

from tests.tui.replay import ReplayBackend, events_of_a_run, mid_run
from tests.tui.screen import running, settled, text_of


async def test_a_small_terminal_says_so_and_comes_back() -> None:
    async with running(mid_run(), size=(59, 16)) as (app, pilot):
        assert "This terminal is 59×16." in text_of(app)
        await pilot.resize_terminal(60, 16)
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_what_is_typed_while_the_terminal_is_too_small_goes_where_it_went() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press(*"a ")
        await pilot.resize_terminal(30, 6)
        await settled(pilot)
        assert text_of(app).split() == ["This", "terminal", "is", "30×6.", "flux2-tui", "needs", "60×16", "or", "more."]
        await pilot.press(*"fox")
        await pilot.resize_terminal(120, 40)
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "a fox"
        assert app.focused is app.dashboard.prompt.editor


async def test_resizing_at_any_moment_is_fine() -> None:
    backend = mid_run(3)
    new = [event for event in events_of_a_run(12) if event.time > max(past.time for past in backend.past)]
    sizes = [(60, 16), (200, 60), (20, 5), (99, 31), (100, 32), (1, 1), (160, 50), (300, 100), (80, 24)]
    async with running(backend) as (app, pilot):
        for place, (width, height) in enumerate(sizes):
            backend.feed(*new[place * 20 : place * 20 + 20])
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await settled(pilot)
        text = text_of(app)
        assert len(text.splitlines()) == 24
        assert "of 12" in text


async def test_narrow_shows_the_settings_on_one_line() -> None:
    async with running(ReplayBackend(), size=(80, 24)) as (app, _):
        line = next(line for line in text_of(app).splitlines() if "pocket" in line)
        for shown in ("m pocket", "n bf16", "d 256×256", "i 4 steps", "s random"):
            assert shown in line


async def test_every_row_is_as_wide_as_the_terminal() -> None:
    for width, height in ((60, 16), (80, 24), (120, 40)):
        async with running(mid_run(), size=(width, height)) as (app, _):
            rows = text_of(app).splitlines()
            assert len(rows) == height
            assert {len(row) for row in rows} == {width}
