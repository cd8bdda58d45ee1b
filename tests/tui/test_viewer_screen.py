"""One picture on the whole screen, on a replayed worker."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from tests.tui.pictures import FOX, gallery, made, name_of
from tests.tui.screen import text_of, until
from tui.screens.viewer import Viewer


async def test_the_viewer_shows_a_picture_its_neighbours_and_leads_back_to_it(folder: Path) -> None:
    for number in range(3):
        made(folder, f"p{number}", number, seed=number)
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Viewer) and app.screen.view._drawn is not None)
        viewer = app.screen
        assert isinstance(viewer, Viewer)
        await pilot.press("right")
        assert name_of(viewer) == "p1"
        await pilot.press("pagedown", "pagedown")
        assert name_of(viewer) == "p0"
        await until(pilot, lambda: "Seed     0" in text_of(app))
        await pilot.press("pageup", "left", "left", "right")
        assert name_of(viewer) == "p1"
        await pilot.press("i")
        await pilot.pause(0.1)
        assert "Seed" not in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        assert name_of(screen) == "p1"


async def test_pixel_for_pixel_and_around(folder: Path) -> None:
    image = Image.new("RGB", (240, 160))
    image.paste((250, 250, 250), (200, 0, 240, 160))
    folder.mkdir()
    save_png(image, folder / "wide.png", ImageMetadata(request=FOX))
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Viewer) and app.screen.view.settled)
        viewer = app.screen
        assert isinstance(viewer, Viewer)
        await pilot.press("z")
        await until(pilot, lambda: viewer.view.settled and viewer.view.actual)
        assert "1:1" in text_of(app)
        assert viewer.view._drawn is not None
        assert viewer.view._drawn.cropped().getpixel((0, 0)) == (0, 0, 0)
        await pilot.press(*["right"] * 9, *["down"] * 6)
        await until(pilot, lambda: viewer.view.settled)
        corner = viewer.view._drawn.cropped()
        assert corner.getpixel((corner.width - 1, corner.height - 1)) == (250, 250, 250)
        assert corner.size == (viewer.view.size.width, viewer.view.size.height * 2)
        await pilot.press("left", "up", "z")
        await until(pilot, lambda: viewer.view.settled and not viewer.view.actual)


async def test_the_viewer_goes_on_when_its_picture_goes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("send2trash.send2trash", lambda path: path.unlink())
    made(folder, "one", 1)
    made(folder, "two", 2)
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("enter")
        await pilot.pause(0.1)
        viewer = app.screen
        assert isinstance(viewer, Viewer)
        await pilot.press("delete", "delete")
        await until(pilot, lambda: viewer.current is not None and name_of(viewer) == "one")
        await pilot.press("delete", "delete")
        await until(pilot, lambda: app.screen is screen)
