"""The part of a canvas that the model works on: where it lies, how it is cut out and enlarged, and put back.

A small mask is worked on in a part of its own, with some of what is around it, at the full working size: more of the
model's detail, nothing else of the picture touched. The part has the working size's shape; where it reaches over the
canvas's edges, for sides that are no multiple of 16 or of another shape, the canvas's outermost pixels are repeated.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.reference_sizes import Size
from flux2.canvas.mask_drawing import Box
from flux2.pictures.as_seen import Pixels

LEAST_CONTEXT, MOST_CONTEXT = 32, 64
"""Pixels of the canvas around a mask that are worked on with it: a sixteenth of the shorter side, within these."""
MOST_ENLARGED = 4
"""Times that a part is enlarged at most; beyond, the model would draw on blurred surroundings."""


class Window(NamedTuple):
    """A rectangle of the canvas, in its pixels, and the size it is worked on at."""

    left: int
    top: int
    width: int
    height: int
    working: Size

    @property
    def size(self) -> Size:
        return self.width, self.height

    def cut(self, canvas: Pixels) -> Pixels:
        """Pixels that the model works on, [working height, working width, 3]."""
        rows, columns = (
            np.clip(np.arange(start, start + count), 0, side - 1)
            for start, count, side in zip((self.top, self.left), (self.height, self.width), canvas.shape, strict=False)
        )
        part = canvas[rows[:, None], columns]
        if self.size == self.working:
            return part
        return np.array(Image.fromarray(part).resize(self.working, Image.Resampling.LANCZOS))

    def put_back(self, painted: Image.Image, canvas: Pixels) -> Pixels:
        """Canvas with what was worked on in the window's place, as opaque as a mask of 255 everywhere has it."""
        if self.size != self.working:
            painted = painted.resize(self.size, Image.Resampling.LANCZOS)
        height, width, _ = canvas.shape
        left, top = max(0, self.left), max(0, self.top)
        right, bottom = min(width, self.left + self.width), min(height, self.top + self.height)
        whole = canvas.copy()
        whole[top:bottom, left:right] = np.asarray(painted)[
            top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return whole


def whole_window(canvas: Size, working: Size) -> Window:
    """Window with all of the canvas in it, which is in its middle where their shapes differ by more than padding."""
    scale = _scale(canvas, working)
    width, height = (max(side, round(worked / scale)) for side, worked in zip(canvas, working, strict=True))
    padding_alone = is_of_shape(canvas, working)
    left, top = (0, 0) if padding_alone else ((canvas[0] - width) // 2, (canvas[1] - height) // 2)
    return Window(left, top, width, height, working)


def middle_window(canvas: Size, working: Size) -> Window:
    """Largest window of the working size's shape in the middle of the canvas, with nothing beyond its edges."""
    scale = max(worked / side for side, worked in zip(canvas, working, strict=True))
    width, height = (min(side, round(worked / scale)) for side, worked in zip(canvas, working, strict=True))
    return Window((canvas[0] - width) // 2, (canvas[1] - height) // 2, width, height, working)


def mask_window(canvas: Size, painted: Box, working: Size) -> Window:
    """Window around what is painted, where that and its surroundings are less than half of the canvas; else all of it.

    Args:
        painted: the smallest rectangle with all that is painted.
    """
    context = min(MOST_CONTEXT, max(LEAST_CONTEXT, min(canvas) // 16))
    left, top, right, bottom = painted
    left, top = max(0, left - context), max(0, top - context)
    right, bottom = min(canvas[0], right + context), min(canvas[1], bottom + context)
    scale = min(MOST_ENLARGED, working[0] / (right - left), working[1] / (bottom - top))
    width, height = (math.ceil(worked / scale) for worked in working)
    if width > canvas[0] or height > canvas[1] or 2 * width * height > canvas[0] * canvas[1]:
        return whole_window(canvas, working)
    left = min(max(0, (left + right - width) // 2), canvas[0] - width)
    top = min(max(0, (top + bottom - height) // 2), canvas[1] - height)
    return Window(left, top, width, height, working)


def needs_padding_alone(canvas: Size, working: Size) -> bool:
    """Whether the canvas fills the working size as it is, but for padding to multiples of 16 pixels."""
    return all(0 <= worked - side < TOKEN_PIXELS for side, worked in zip(canvas, working, strict=True))


def is_of_shape(canvas: Size, working: Size) -> bool:
    """Whether the canvas, enlarged or not, fills the working size but for such padding."""
    scale = _scale(canvas, working)
    return all(worked - side * scale < TOKEN_PIXELS for side, worked in zip(canvas, working, strict=True))


def _scale(canvas: Size, working: Size) -> float:
    """Times that the canvas is enlarged."""
    if needs_padding_alone(canvas, working):
        return 1.0
    return min(worked / side for side, worked in zip(canvas, working, strict=True))
