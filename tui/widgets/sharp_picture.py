"""A finished picture in the terminal's own graphics protocol. Imported only where one was asked for or found."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from textual.app import RenderResult
from textual.containers import Vertical

from tui.program import Program
from tui.terminal.picture import quiet_textual_image
from tui.terminal.probe import cell_pixels

if not quiet_textual_image():
    raise ImportError("This version of textual-image can't be kept from asking the terminal.")

# They must come after it was kept quiet.
from textual_image.renderable.tgp import Image as KittyRenderable
from textual_image.widget import SixelImage, TGPImage

if TYPE_CHECKING:
    from PIL import Image


_BAND = 16_000
"""Pixels of what is sent at once over a slow line: some 10 KB, more only of noise."""


class KittyImage(TGPImage, Renderable=KittyRenderable):  # type: ignore[call-arg]
    """textual-image's, but the terminal's copy is really freed, and without an answer into our input.

    Its own clean-up deletes placements, which leaves the pixels in the terminal's memory for good.
    """

    app: Program

    def render(self) -> RenderResult:
        self._free()
        drawn: RenderResult = super().render()
        return drawn

    def on_unmount(self) -> None:
        self._free()

    def _free(self) -> None:
        renderable: Any = getattr(self, "_renderable", None)
        number = getattr(renderable, "terminal_image_id", None)
        if number:
            self.app.tell_terminal(f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\")
            renderable.terminal_image_id = None


class SharpPicture(Vertical):
    """A picture of whole cells; Kitty's over ssh in bands, each sent once the terminal has taken the one before.

    So a key's answer stands behind one band at most, and a fast line is waited for no longer than it needs. Sixels
    would be sent again with every band: the terminal keeps none.
    """

    app: Program

    def __init__(self, graphics: str, image: Image.Image) -> None:
        """
        Args:
            graphics: "kitty" or "sixel".
            image: its sides are multiples of the cell's, as `tui.terminal.picture.in_whole_cells` makes them.
        """
        super().__init__(classes="sharp-picture")
        self._graphics = graphics
        self._cell = cell_pixels()
        self._image = image
        self.styles.width, self.styles.height = image.width // self._cell[0], image.height // self._cell[1]

    def on_mount(self) -> None:
        self.run_worker(self._send(), exit_on_error=False)

    async def _send(self) -> None:
        image, in_bands = self._image, self.app.options.remote and self._graphics == "kitty"
        if in_bands:
            image = await asyncio.to_thread(image.quantize, 256)  # a third of the bytes
        rows = image.height // self._cell[1]
        at_once = max(1, _BAND // (image.width * self._cell[1])) if in_bands else rows
        widget = SixelImage if self._graphics == "sixel" else KittyImage
        for first in range(0, rows, at_once):
            last = min(rows, first + at_once)
            band = widget(image.crop((0, first * self._cell[1], image.width, last * self._cell[1])))
            band.styles.width, band.styles.height = image.width // self._cell[0], last - first
            await self.mount(band)
            if last < rows:
                await self._is_painted()
                await self.app.echo.caught_up()

    async def _is_painted(self) -> None:
        painted = asyncio.Event()
        self.call_after_refresh(painted.set)
        await painted.wait()
