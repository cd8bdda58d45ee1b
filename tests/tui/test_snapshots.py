"""Pictures of the screen, at three sizes, dark, light, in the terminal's own colours and in none.

After a wanted change: pytest tests/tui --snapshot-update.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from textual.pilot import Pilot

from tests.tui.replay import REQUEST, ReplayBackend, events_of_a_run, queue_of
from tests.tui.screen import make_app, settled

Compare = Callable[..., bool]
PROMPT = str(REQUEST["prompt"])


def mid_run(*waiting: str) -> ReplayBackend:
    return ReplayBackend(past=tuple(events_of_a_run(7)), queue=queue_of(PROMPT, *waiting))


async def type_prompt(pilot: Pilot[None]) -> None:
    await settled(pilot)
    await pilot.press(*"a red fox asleep in fresh snow", "escape")
    await settled(pilot)


THEMES = {
    "midnight": [(80, 24), (120, 40), (200, 60)],
    "paper": [(80, 24), (120, 40), (200, 60)],
    "ansi": [(80, 24), (120, 40)],
}


@pytest.mark.parametrize(
    ("size", "theme"),
    [pytest.param(size, theme, id=f"{size[0]}x{size[1]}-{theme}") for theme, sizes in THEMES.items() for size in sizes],
)
def test_mid_run(snap_compare: Compare, size: tuple[int, int], theme: str) -> None:
    """Without the picture, which would be most of the file; the pilot tests look at that."""
    app = make_app(mid_run("a lighthouse in a storm"), theme=theme, graphics="none")
    assert snap_compare(app, terminal_size=size, run_before=type_prompt)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=["80x24", "120x40"])
def test_mid_run_without_colours(snap_compare: Compare, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = make_app(mid_run("a lighthouse in a storm"), graphics="none")
    assert snap_compare(app, terminal_size=size, run_before=type_prompt)


def test_quantization_menu(snap_compare: Compare) -> None:
    async def open_menu(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("escape", "n", "down")
        await settled(pilot)

    assert snap_compare(make_app(mid_run(), graphics="none"), terminal_size=(80, 24), run_before=open_menu)
