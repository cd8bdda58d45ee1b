"""A picture with its mask upon it, a few pixels for each cell of the screen: how the mask editor shows both."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from tui.state.mask_board import MaskBoard

TINT = (255, 60, 160)
"""Colour of what is repainted."""
_TINTED = 0.6
"""Share of the tint where all of a pixel is repainted."""
_OUTLINE = (255, 255, 255), (0, 0, 0)
"""Colours of the shape's outline, by turns, so that it is seen on any picture."""
_GREYS = 96, 150
"""Shades of the chequers in place of what is painted anew."""
_PLAIN = (40, 44, 52)
"""Colour in place of a picture that can't be shown."""


def drawn(picture: Image.Image | None, board: MaskBoard, pixels: tuple[int, int], *, preview: bool) -> Image.Image:
    """The picture with its mask and the outline of the shape.

    Args:
        picture: in RGB, of any size; None for a plain one.
        pixels: width and height of what is drawn.
        preview: show chequers in place of what is painted anew, and no outline.
    """
    size = max(1, pixels[0]), max(1, pixels[1])
    base = Image.new("RGB", size, _PLAIN) if picture is None else picture.resize(size, Image.Resampling.BOX)
    mask = Image.fromarray(board.mask).resize(size, Image.Resampling.BOX)
    if preview:
        return Image.composite(_chequers(size), base, mask)
    tinted = Image.blend(base, Image.new("RGB", size, TINT), _TINTED)
    result = Image.composite(tinted, base, mask)
    _outline(result, board)
    return result


def _chequers(size: tuple[int, int]) -> Image.Image:
    across, down = np.arange(size[0])[None], np.arange(size[1])[:, None]
    return Image.fromarray(np.where((across + down) % 2, *_GREYS).astype(np.uint8)).convert("RGB")


def _outline(image: Image.Image, board: MaskBoard) -> None:
    """Dashes around the shape, as far as it lies on the picture."""
    outline = Image.new("L", image.size)
    left, top, right, bottom = board.box
    across, down = image.width / board.width, image.height / board.height
    box = round(left * across), round(top * down), round(right * across) - 1, round(bottom * down) - 1
    box = box[0], box[1], max(box[0], box[2]), max(box[1], box[3])
    draw = ImageDraw.Draw(outline)
    (draw.ellipse if board.is_ellipse else draw.rectangle)(box, outline=255)
    places = np.argwhere(np.asarray(outline) > 0)
    for y, x in places:
        image.putpixel((int(x), int(y)), _OUTLINE[int((x + y) // 2 % 2)])
