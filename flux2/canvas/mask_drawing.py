"""Masks drawn from shapes, and changed as a whole: pure functions of NumPy arrays, for the mask editor and for scripts.

A mask is uint8 [height, width]: 255 repaints a pixel, 0 keeps it, what lies between does so in part. Every function
gives a new mask. Rectangles are (left, top, right, bottom) in pixels, right and bottom excluded, as Pillow has them;
what lies outside the mask is cut off.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Mask = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]

KEPT, REPAINTED = 0, 255


def blank(width: int, height: int, value: int = KEPT) -> Mask:
    """Mask of one value all over; sides in pixels."""
    return np.full((height, width), value, np.uint8)


def rectangle(mask: Mask, box: Box, value: int = REPAINTED) -> Mask:
    """Mask with a rectangle of this value upon it; KEPT erases."""
    drawn = mask.copy()
    left, top, right, bottom = _cut(mask, box)
    drawn[top:bottom, left:right] = value
    return drawn


def ellipse(mask: Mask, box: Box, value: int = REPAINTED) -> Mask:
    """Mask with the ellipse that fills this rectangle upon it: all pixels whose centre lies inside it."""
    drawn = mask.copy()
    left, top, right, bottom = box
    if right > left and bottom > top:
        across = (np.arange(mask.shape[1]) + 0.5 - (left + right) / 2) / ((right - left) / 2)
        down = (np.arange(mask.shape[0]) + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)
        drawn[across[None] ** 2 + down[:, None] ** 2 <= 1] = value
    return drawn


def invert(mask: Mask) -> Mask:
    """Mask that keeps what the other repaints."""
    return REPAINTED - mask


def grow(mask: Mask, pixels: int) -> Mask:
    """Mask whose repainted part reaches so many pixels farther on each side; fewer than 0 shrink it."""
    if pixels < 0:
        return invert(grow(invert(mask), -pixels))
    return _widest(_widest(mask, pixels).T, pixels).T.copy()


def feather(mask: Mask, pixels: int) -> Mask:
    """Mask whose edges are soft: a ramp of about so many pixels, half of them on either side of the edge."""
    if pixels <= 0:
        return mask.copy()
    soft = Image.fromarray(mask).filter(ImageFilter.GaussianBlur(pixels / 4))  # of a blur's reach, ± 2 deviations
    return np.array(soft)


def covered(mask: Mask) -> float:
    """Share of the picture that is repainted, 0 to 1; a pixel that is so in part counts in part."""
    return float(mask.mean()) / REPAINTED


def painted_box(mask: Mask) -> Box | None:
    """Smallest rectangle with all that is not kept in it; None where all is."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _cut(mask: Mask, box: Box) -> Box:
    height, width = mask.shape
    left, top, right, bottom = box
    return max(0, left), max(0, top), max(0, min(width, right)), max(0, min(height, bottom))


def _widest(mask: Mask, pixels: int) -> Mask:
    """Greatest value within so many columns on either side of each pixel, in steps that double."""
    widest, reach = mask, 0
    while reach < pixels:
        step = min(reach + 1, pixels - reach, mask.shape[1])
        wider = widest.copy()
        np.maximum(wider[:, step:], widest[:, :-step], out=wider[:, step:])
        np.maximum(wider[:, :-step], widest[:, step:], out=wider[:, :-step])
        widest, reach = wider, reach + step
        if step == mask.shape[1]:
            break
    return widest
