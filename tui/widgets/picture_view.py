"""One picture as large as its room, or pixel for pixel: half-cells, or the terminal's own graphics."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.containers import Container
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui.terminal.picture import SHARP, fit, half_cells, in_whole_cells
from tui.terminal.probe import cell_pixels
from tui.widgets.cell_picture import CellPicture
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from PIL import Image

_MOVE = 4
"""A key moves by this part of the room."""


@dataclass(frozen=True, slots=True, eq=False)
class _Wanted:
    """Told apart by identity: the newest is drawn."""

    image: Image.Image
    room: Size
    """In cells."""
    pixels: tuple[int, int]
    """Pixels of a cell, as fine as this way of drawing goes."""
    actual: bool
    centre: tuple[float, float]
    """What lies in the middle of the room, as parts of width and height; for actual size."""

    def cropped(self) -> Image.Image:
        """The part that fills the room pixel for pixel."""
        width, height = self.image.size
        room = self.room.width * self.pixels[0], self.room.height * self.pixels[1]
        shown = min(width, room[0]), min(height, room[1])
        left = _clamped(self.centre[0] * width - shown[0] / 2, width - shown[0])
        top = _clamped(self.centre[1] * height - shown[1] / 2, height - shown[1])
        return self.image.crop((left, top, left + shown[0], top + shown[1]))


class PictureView(Container):
    """Scaled in a thread; while one picture is drawn, only the newest after it is kept."""

    def __init__(self, graphics: str, *, id: str | None = None) -> None:
        """
        Args:
            graphics: "kitty", "sixel", "halfcell", or "none", which shows no pictures.
        """
        self._graphics = graphics
        self._cells = CellPicture()
        self._words = Static(classes="picture-words")
        self._words.display = False
        self._sharp: Widget | None = None
        self._image: Image.Image | None = None
        self._actual = False
        self._centre = (0.5, 0.5)
        self._wanted: _Wanted | None = None
        self._drawn: _Wanted | None = None
        self._drawing = False
        super().__init__(self._cells, self._words, id=id)

    @property
    def settled(self) -> bool:
        """Whether what is wanted is on the screen."""
        return self._wanted is self._drawn

    @property
    def actual(self) -> bool:
        """Whether it is shown pixel for pixel."""
        return self._actual

    def update(self, image: Image.Image | None, words: str = "") -> None:
        """Show this picture, at the place where the one before was; or words in place of one."""
        if self._graphics == "none":
            image, words = None, words or "Pictures are switched off."
        self._image = image
        self._words.update(words)
        self._words.display = bool(words) and image is None
        self._cells.display = image is not None
        if image is None:
            self._wanted = self._drawn = None
            self._cells.show_strips([])
            self._drop_sharp()
        else:
            self._draw_soon()

    def show_actual(self, actual: bool) -> None:
        """Pixel for pixel from the middle, or all of it."""
        self._actual, self._centre = actual, (0.5, 0.5)
        self._draw_soon()

    def move(self, across: int, down: int) -> None:
        """Look at another part, at actual size; nothing moves past the picture's edge."""
        if self._image is None:
            return
        cell = self._cell
        room = self.size.width * cell[0], self.size.height * cell[1]
        centre = []
        for at, by, side, shown in zip(self._centre, (across, down), self._image.size, room, strict=True):
            half = min(0.5, shown / side / 2)
            centre.append(min(1 - half, max(half, at + by * shown / _MOVE / side)))
        self._centre = (centre[0], centre[1])
        self._draw_soon()

    @property
    def _cell(self) -> tuple[int, int]:
        return cell_pixels() if self._graphics in SHARP else (1, 2)

    def on_resize(self) -> None:
        self._draw_soon()

    def _draw_soon(self) -> None:
        if self._image is None or not self.size.area:
            return
        self._wanted = _Wanted(self._image, self.size, self._cell, self._actual, self._centre)
        if not self._drawing:
            self._drawing = True
            self.run_worker(self._draw(), exit_on_error=False)

    async def _draw(self) -> None:
        try:
            while (wanted := self._wanted) is not self._drawn and wanted is not None:
                if self._graphics in SHARP:
                    await self._draw_sharp(wanted)
                else:
                    strips = await asyncio.to_thread(_strips, wanted, cell_pixels())
                    if self._wanted is not None:
                        self._cells.show_strips(strips)
                self._drawn = wanted
        finally:
            self._drawing = False

    async def _draw_sharp(self, wanted: _Wanted) -> None:
        image = await asyncio.to_thread(_sharp_image, wanted)
        from tui.widgets.sharp_picture import SharpPicture

        self._cells.display = False
        if self._sharp is not None:
            await self._sharp.remove()
        if self._wanted is None:
            return
        self._sharp = SharpPicture(self._graphics, image)
        await self.mount(self._sharp)

    def _drop_sharp(self) -> None:
        if self._sharp is not None:
            self._sharp.remove()
            self._sharp = None


def _strips(wanted: _Wanted, cell: tuple[int, int]) -> list[Strip]:
    if not wanted.actual:
        return half_cells(wanted.image, *fit(wanted.image.size, wanted.room, cell))
    image = wanted.cropped()
    return half_cells(image, image.width, max(1, image.height // 2))


def _sharp_image(wanted: _Wanted) -> Image.Image:
    """No more pixels than are shown, for they go over the user's line; and whole cells of them."""
    if not wanted.actual:
        return in_whole_cells(wanted.image, wanted.room, wanted.pixels)
    image = wanted.cropped()
    width, height = (-(-side // of) * of for side, of in zip(image.size, wanted.pixels, strict=True))
    return image.crop((0, 0, width, height))  # beyond its edges it is black


def _clamped(value: float, most: int) -> int:
    return int(max(0, min(most, value)))
