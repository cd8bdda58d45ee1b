"""A finished picture in the terminal's own graphics protocol. Imported only where one was asked for or found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import RenderResult
from textual.widget import Widget

from tui.picture import quiet_textual_image

quiet_textual_image()

from textual_image.widget import SixelImage, TGPImage  # noqa: E402 — must come after it was kept quiet

if TYPE_CHECKING:
    from PIL import Image


class KittyImage(TGPImage, Renderable=TGPImage._Renderable):  # type: ignore[call-arg]
    """textual-image's, but the terminal's copy is really freed, and without an answer into our input.

    Its own clean-up deletes placements, which leaves the pixels in the terminal's memory for good.
    """

    def render(self) -> RenderResult:
        self._free()
        drawn: RenderResult = super().render()
        return drawn

    def on_unmount(self) -> None:
        self._free()

    def _free(self) -> None:
        renderable = self._renderable
        number = getattr(renderable, "terminal_image_id", None)
        if number and self.app._driver is not None:
            self.app._driver.write(f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\")
            renderable.terminal_image_id = None


def sharp_picture(graphics: str, image: Image.Image) -> Widget:
    """A widget that draws the picture with "kitty" or "sixel"."""
    widget = SixelImage if graphics == "sixel" else KittyImage
    return widget(image, classes="sharp-picture")
