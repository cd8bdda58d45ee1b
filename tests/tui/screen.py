"""The dashboard on a replayed worker, for the pilot and the snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual._xterm_parser import XTermParser
from textual.pilot import Pilot

from flux2.paths import state_dir
from tests.tui.replay import START, Clock, ReplayBackend, last_time
from tui.app import Flux2App
from tui.program import Options
from tui.terminal.glyphs import BRAILLE

SIZE = (120, 40)
ROUNDS = 400
"""Looks at what is waited for, before a test fails."""


def make_app(backend: ReplayBackend, *, theme: str = "midnight", **options: Any) -> Flux2App:
    """The program on this worker; its clock stands one second after the last event."""
    clock = Clock(last_time(backend.past) + 1 if backend.past else START)
    state: Path = options.pop("state", state_dir())
    chosen = Options(theme=theme, state=state, glyphs=options.pop("glyphs", BRAILLE), **options)
    return Flux2App(lambda: backend, chosen, clock)


@asynccontextmanager
async def running(
    backend: ReplayBackend, size: tuple[int, int] = SIZE, **options: Any
) -> AsyncIterator[tuple[Flux2App, Pilot[None]]]:
    """The program running, attached, and at rest."""
    app = make_app(backend, **options)
    async with app.run_test(size=size, notifications=True) as pilot:
        await settled(pilot)
        yield app, pilot


async def settled(pilot: Pilot[None]) -> None:
    """Wait until what was asked for is on the screen, be the machine busy or not."""
    app = pilot.app
    assert isinstance(app, Flux2App)
    await pilot.pause(0.05)
    for _ in range(ROUNDS):
        waits_for = [name for name, holds in _RESTS.items() if not holds(app)]
        if not waits_for:
            break
        await pilot.pause(0.02)
    else:
        raise AssertionError(f"It waits for ever: {', '.join(waits_for)}\n{text_of(app)}")
    await pilot.pause(0.05)


async def until(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    """Wait for something that a thread or a timer brings about."""
    for _ in range(ROUNDS):
        if holds():
            await pilot.pause(0.02)
            return
        await pilot.pause(0.025)
    raise AssertionError(text_of(pilot.app))  # type: ignore[arg-type]


def write(app: Flux2App, sequence: str) -> None:
    """What the terminal sends in one write: keys, and the mouse's reports."""
    for event in XTermParser(False).feed(sequence):
        app.post_message(event)


def click(x: int, y: int, times: int = 1) -> str:
    """The report of clicks on a cell, from 0, as terminals send it (SGR)."""
    return f"\x1b[<0;{x + 1};{y + 1}M\x1b[<0;{x + 1};{y + 1}m" * times


def place_of(app: Flux2App, text: str) -> tuple[int, int]:
    """Column and row where the screen shows this."""
    row, line = next((row, line) for row, line in enumerate(text_of(app).splitlines()) if text in line)
    return line.index(text), row


def _picture_is_drawn(app: Flux2App) -> bool:
    cells, dashboard = app.dashboard.preview.cells, app.dashboard
    hidden = not cells.display or dashboard.has_class("-too-small") or dashboard.has_class("-alone")
    return hidden or (cells._drawn is not None and cells._drawn == cells._wanted())


_RESTS: dict[str, Callable[[Flux2App], object]] = {
    "tokens to be counted": lambda app: all(it.is_finished for it in app.workers if it.group == "tokens"),
    "the screen to be there": lambda app: app.screen.is_mounted,
    "news to be shown": lambda app: not app._redraw_timer,
    "the picture to be drawn": _picture_is_drawn,
}
"""What must hold before the screen is at rest."""


def text_of(app: Flux2App) -> str:
    """What the screen shows, as lines of plain text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
