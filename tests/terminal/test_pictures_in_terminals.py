"""The picture screens in a real terminal: sharp where it can, and sparing with a slow line."""

from __future__ import annotations

import pytest
from PIL import Image

from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from tests.terminal.pseudo_terminal import PseudoTerminal
from tests.terminal.test_screen import worker  # noqa: F401 — a fixture
from tests.worker.conftest import home  # noqa: F401 — a fixture
from tests.worker.home import Home

ASK = b"\x1b[6n"
"""Where is the cursor? What comes before has been taken by the terminal once it answers."""
THUMBNAIL = 20 * 10
"""Cells of a square picture in the gallery."""


def make_pictures(folder: Home, count: int) -> None:
    for number in range(count):
        request = GenerationRequest(prompt=f"fox number {number}", width=256, height=256, steps=4, seed=number)
        image = Image.linear_gradient("L").rotate(number).convert("RGB")
        save_png(image, folder.folder / "pictures" / f"fox-{number}.png", ImageMetadata(request=request))


@pytest.mark.parametrize(("graphics", "sign"), [("kitty", b"\x1b_G"), ("sixel", b"\x1bP")])
async def test_the_viewer_draws_in_the_terminals_own_graphics(
    worker: int,  # noqa: ARG001, F811
    home: Home,  # noqa: F811
    graphics: str,
    sign: bytes,
) -> None:
    make_pictures(home, 2)
    with PseudoTerminal(["-m", "tui", "--graphics", graphics]) as screen:
        screen.wait_for("ready")
        screen.send(b"\x1b")
        screen.wait_for("d size")
        screen.send(b"3")
        screen.wait_for("1 of 2")
        screen.wait_for("▀▀▀▀")
        assert sign not in screen.raw  # thumbnails are half-cells
        screen.forget()
        screen.send(b"\r")
        screen.wait_for_bytes(sign)
        screen.forget()
        screen.send(b"\x1b[C")  # the older one
        screen.wait_for("2 of 2")
        screen.wait_for_bytes(sign)
        if graphics == "kitty":
            screen.wait_for_bytes(b"\x1b_Ga=d,d=I,i=")  # the terminal's copy of the first is freed
        screen.send(b"\x11")
        assert screen.wait() == 0


async def test_over_ssh_a_key_is_answered_between_two_bands_of_a_picture(
    worker: int,  # noqa: ARG001, F811
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sign = b"\x1b_G"
    make_pictures(home, 2)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.2 22")
    with PseudoTerminal(["-m", "tui", "--graphics", "kitty"], size=(120, 40)) as screen:
        screen.wait_for("ready")
        screen.send(b"\x1b")
        screen.wait_for("d size")
        screen.send(b"3")
        screen.wait_for("1 of 2")
        screen.wait_until(lambda: screen.shown.count("▀") == 2 * THUMBNAIL, "two thumbnails")
        screen.forget()
        screen.send(b"\r")
        for _ in range(3):
            screen.wait_for_bytes(ASK)
            assert sign in screen.raw
            assert len(screen.raw) < 20_000
            screen.forget()
            screen.send(b"\x1b[10;10R")
        screen.wait_for_bytes(ASK)
        screen.forget()
        screen.send(b"?")
        screen.wait_for("Pixel for pixel")
        assert sign not in screen.raw  # the line is busy
        screen.send(b"\x1b")
        screen.send(b"\x1b[10;10R")
        screen.wait_for_bytes(sign)
        screen.send(b"\x11")
        assert screen.wait() == 0


async def test_moving_about_sends_no_picture_twice(
    worker: int,  # noqa: ARG001, F811
    home: Home,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_pictures(home, 6)
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.2 22")
    with PseudoTerminal(["-m", "tui", "--graphics", "halfcell"]) as screen:
        screen.wait_for("ready")
        screen.send(b"\x1b")
        screen.wait_for("d size")
        screen.send(b"3")
        screen.wait_for("1 of 6")
        screen.wait_until(lambda: screen.shown.count("▀") == 6 * THUMBNAIL, "six thumbnails")
        screen.forget()
        for key, place in [*((b"\x1b[C", place) for place in range(2, 7)), (b"\x1b[D", 5)]:
            screen.send(key)
            screen.wait_for(f"{place} of 6")
            assert "▀" not in screen.text
        screen.send(b"\x11")
        assert screen.wait() == 0
