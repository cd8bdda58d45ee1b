"""Pictures in a folder of a test's own, and the picture screens opened on them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from textual.pilot import Pilot

from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from tests.tui.replay import GB, ReplayBackend
from tests.tui.screen import running, until
from tui.app import Flux2App
from tui.screens.compare import CompareScreen
from tui.screens.gallery import GalleryScreen
from tui.screens.viewer import Viewer

FOX = GenerationRequest(
    prompt="a red fox in fresh snow", model="pocket", width=128, height=64, steps=4, guidance=1.0, seed=42
)


def made(folder: Path, name: str, number: int = 0, color: tuple[int, int, int] = (200, 60, 20), **changes: Any) -> Path:
    """A picture of one colour; the higher its number, the newer."""
    metadata = ImageMetadata(
        request=replace(FOX, **changes),
        timings={"load": 1.0, "denoise": 8.5},
        peaks={"load": 2 * GB, "denoise": 3 * GB},
        active={"load": 0, "denoise": GB},
        created=f"2020-01-02T{number // 60:02}:{number % 60:02}:00+00:00",
    )
    return save_png(Image.new("RGB", (128, 64), color), folder / f"{name}.png", metadata)


@asynccontextmanager
async def gallery(
    backend: ReplayBackend | None = None, size: tuple[int, int] = (120, 40), **options: Any
) -> AsyncIterator[tuple[GalleryScreen, Pilot[None]]]:
    """The gallery open and at rest."""
    async with running(backend or ReplayBackend(), size, **options) as (app, pilot):
        await pilot.press("escape", "3")
        await until(pilot, lambda: isinstance(app.screen, GalleryScreen) and app.screen.browser.is_mounted)
        await resting(pilot)
        assert isinstance(app.screen, GalleryScreen)
        yield app.screen, pilot


async def resting(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, Flux2App)

    def rests() -> bool:
        screen = app.screen
        return not app.library.scanning and (not isinstance(screen, GalleryScreen) or screen.browser.settled)

    await until(pilot, rests)
    await pilot.pause(0.2)


def name_of(screen: GalleryScreen | Viewer) -> str:
    assert screen.current is not None
    return screen.current.path.stem


async def comparing(pilot: Pilot[None], count: int) -> CompareScreen:
    """The comparison once so many of its pictures are read and measured."""
    app = pilot.app
    await until(pilot, lambda: isinstance(app.screen, CompareScreen))
    screen = app.screen
    assert isinstance(screen, CompareScreen)
    entries = screen.comparison.entries
    await until(pilot, lambda: sum(entry.pixels is not None for entry in entries) == count)
    if entries[0].pixels is not None:
        await until(pilot, lambda: sum(entry.likeness is not None for entry in entries) == count - 1)
    await pilot.pause(0.1)
    return screen
