"""The dashboard on a replayed worker, for the pilot and the snapshots."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from flux2.paths import state_dir
from tests.tui.replay import START, Clock, ReplayBackend, last_time
from tui.app import Flux2App, Options
from tui.glyphs import BRAILLE

SIZE = (120, 40)


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
    for _ in range(200):
        counting = any(worker.group == "tokens" and not worker.is_finished for worker in app.workers)
        if not counting and app.screen.is_mounted and not app._redraw_timer and _picture_is_drawn(app):
            break
        await pilot.pause(0.02)
    await pilot.pause(0.05)


async def until(pilot: Pilot[None], holds: Callable[[], object]) -> None:
    """Wait for something that a thread or a timer brings about."""
    for _ in range(400):
        if holds():
            await pilot.pause(0.02)
            return
        await pilot.pause(0.025)
    raise AssertionError(text_of(pilot.app))  # type: ignore[arg-type]


def _picture_is_drawn(app: Flux2App) -> bool:
    cells, dashboard = app.dashboard.preview.cells, app.dashboard
    hidden = not cells.display or dashboard.has_class("-too-small") or dashboard.has_class("-alone")
    return hidden or (cells._drawn is not None and cells._drawn == cells._wanted())


def text_of(app: Flux2App) -> str:
    """What the screen shows, as lines of plain text."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)
