"""Draws the README's pictures of the screen: the real program with a real worker makes real pictures.

$ python -m tests.screens.draw tests/screens --theme midnight
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from PIL import Image, ImageColor, ImageDraw, ImageFont
from rich.cells import cell_len
from rich.style import Style
from textual.pilot import Pilot
from textual.strip import Strip

from flux2.progress import RUNNING
from flux2.worker import control
from tui.app import Flux2App
from tui.program import Options
from tui.state.link import UserWorker

PROMPT = "A fluffy orange tabby cat sitting on a windowsill at sunset"
OTHERS = (
    "A red fox in the snow at night",
    "A blue teapot on a wooden table",
    "A red house beside a lake at noon",
    "A white rabbit in a green meadow",
)
"""Prompts of pictures that the gallery has, too."""
SEED = 42
CELL = (9, 18)
"""Pixels."""
FONTS = Path("/usr/share/fonts/truetype/dejavu")
"""Where Debian's fonts-dejavu-core puts its fonts."""
HALVES = {"▀": 0, "▄": 1}
"""Half-cells are drawn as rectangles: a font's own leave seams."""


async def run_program(size: tuple[int, int], theme: str, home: Path) -> AsyncIterator[tuple[str, list[Strip]]]:
    """Name and lines of each screen to draw: pictures are made, compared and looked through."""
    app = Flux2App(UserWorker, Options(theme=theme, state=home / "state"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        while app.session.worker is None or not app.session.worker.ready:
            await pilot.pause(0.1)
        for prompt in (*OTHERS, PROMPT):
            app.dashboard.prompt.editor.text = prompt
            app.choose(replace(app.choices, seed=SEED, seed_mode="locked"))
            await _make(pilot, app, "ctrl+j")
        await pilot.pause(1.5)
        yield "dashboard", _lines(app)
        await pilot.press("escape", "c")
        while _text(app).count("PSNR") != 2:  # until both others are there
            await pilot.pause(0.2)
        await pilot.pause(1.5)
        yield "compare", _lines(app)
        await pilot.press("escape", "3")
        await pilot.pause(4)
        yield "gallery", _lines(app)
        await pilot.press("escape", "n")
        await pilot.pause(1)
        yield "quantization", _lines(app)


async def _make(pilot: Pilot[None], app: Flux2App, key: str) -> None:
    """Press the key that starts a run, and wait for its end."""
    before = app.session.run
    await pilot.press(key)
    while app.session.run is None or app.session.run is before or app.session.run.state == RUNNING:
        await pilot.pause(0.1)


def _lines(app: Flux2App) -> list[Strip]:
    return app.screen._compositor.render_strips()


def _text(app: Flux2App) -> str:
    return "\n".join(strip.text for strip in _lines(app))


def draw(strips: list[Strip]) -> Image.Image:
    """The lines as a terminal with `CELL`-sized cells shows them."""
    width, height = CELL
    columns = max(strip.cell_length for strip in strips)
    image = Image.new("RGB", (columns * width, len(strips) * height))
    canvas = ImageDraw.Draw(image)
    fonts = {bold: ImageFont.truetype(FONTS / f"DejaVuSansMono{'-Bold' * bold}.ttf", 15) for bold in (False, True)}
    for row, strip in enumerate(strips):
        column = 0
        for segment in strip:
            front, back = _colours(segment.style or Style())
            for character in segment.text:
                cells = cell_len(character)
                x, y = column * width, row * height
                canvas.rectangle((x, y, x + cells * width - 1, y + height - 1), back)
                if character in HALVES:
                    top = y + HALVES[character] * height // 2
                    canvas.rectangle((x, top, x + width - 1, top + height // 2 - 1), front)
                elif "\u2800" <= character <= "\u28ff":
                    _draw_braille(canvas, x, y, ord(character) - 0x2800, front)
                elif not character.isspace():
                    font = fonts[bool(segment.style and segment.style.bold)]
                    canvas.text((x, y + 14), character, front, font, anchor="ls")
                column += cells
    return image


def _draw_braille(canvas: ImageDraw.ImageDraw, x: int, y: int, dots: int, colour: tuple[int, ...]) -> None:
    """Two columns of four dots, which DejaVu Sans Mono lacks. Bits 0–2 and 6 are the left column, downwards."""
    for bit, (column, row) in enumerate(((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (0, 3), (1, 3))):
        if dots >> bit & 1:
            left, top = x + 1 + column * CELL[0] // 2, y + 1 + row * CELL[1] // 4
            canvas.rectangle((left, top, left + 2, top + 2), colour)


def _colours(style: Style) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Front and back."""
    front, back = (
        tuple(colour.get_truecolor()) if colour and not colour.is_default else ImageColor.getrgb(default)
        for colour, default in ((style.color, "white"), (style.bgcolor, "black"))
    )
    return (back, front) if style.reverse else (front, back)


async def _draw_all(options: argparse.Namespace, home: Path) -> None:
    async for name, strips in run_program((options.columns, options.rows), options.theme, home):
        path = options.folder / f"{name}.png"
        draw(strips).save(path, optimize=True)  # not quantized: that falsifies the colours of the text
        print(f"{path}: {path.stat().st_size / 1024:.0f} KiB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--theme", default="")
    parser.add_argument("--columns", type=int, default=120)
    parser.add_argument("--rows", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flux2-") as folder:
        os.environ |= {"FLUX2_HOME": folder, "FLUX2_OUTPUT": f"{folder}/pictures"}
        try:
            asyncio.run(_draw_all(options, Path(folder)))
        finally:
            control.stop()


if __name__ == "__main__":
    main()
