"""Sizes of reference pictures: which are taken, what they are shrunk and cropped to, and how many tokens that makes.

The arithmetic is diffusers' (`Flux2ImageProcessor`), its truncation included: of 1040×1040 pixels 1023×1023 are left
after shrinking to a megapixel, and 1008×1008 after the crop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from flux2.architecture.limits import TOKEN_PIXELS

Size = tuple[int, int]
"""Width and height, pixels."""

MIN_SIDE = 64
"""Pixels of a reference's shorter side, at least."""
MAX_RATIO = 8
"""Longer side by the shorter one, at most."""
MAX_PIXELS = 1024 * 1024
"""Pixels that a reference is shrunk to where it has more, unless a request says otherwise."""
FIRST_TIME, TIME_STEP = 10, 10
"""Position of the first reference's tokens along the time axis, and the distance of each next one's."""


@dataclass(frozen=True, slots=True)
class PreparedSize:
    """What is made of a reference picture, pixels."""

    scaled: Size
    """After shrinking; the size that it has where it is small enough."""
    cropped: Size
    """After the crop about the centre: multiples of a token's."""

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Left, top, right and bottom of the crop, in the shrunk picture."""
        (width, height), (new_width, new_height) = self.scaled, self.cropped
        left, top = (width - new_width) // 2, (height - new_height) // 2
        return left, top, left + new_width, top + new_height

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of tokens."""
        width, height = self.cropped
        return height // TOKEN_PIXELS, width // TOKEN_PIXELS

    @property
    def tokens(self) -> int:
        return math.prod(self.grid)


def prepared_size(width: int, height: int, most_pixels: int | None = None) -> PreparedSize:
    """What becomes of a picture of this size.

    Args:
        most_pixels: what it is shrunk to where it has more; None is MAX_PIXELS.
    """
    most = most_pixels or MAX_PIXELS
    scaled = width, height
    if width * height > most:
        scale = math.sqrt(most / (width * height))
        scaled = int(width * scale), int(height * scale)
    return PreparedSize(scaled, (_whole_tokens(scaled[0]), _whole_tokens(scaled[1])))


def output_size(width: int, height: int) -> Size:
    """Size of a picture that is made after one of this size, where nobody names another: as many whole tokens as a
    megapixel of its shape has, without the truncation that costs a reference some of them."""
    scale = min(1.0, math.sqrt(MAX_PIXELS / (width * height)))
    return _whole_tokens(round(width * scale)), _whole_tokens(round(height * scale))


def complaint(name: str, width: int, height: int) -> str | None:
    """What is wrong with a reference of this size, before it is shrunk: a sentence with a remedy; None for nothing.

    Args:
        name: of the picture, for people.
    """
    shorter, longer = min(width, height), max(width, height)
    if shorter < MIN_SIDE:
        times = math.ceil(MIN_SIDE / max(1, shorter))
        return (
            f"The reference {name} has {width}×{height} pixels, and {MIN_SIDE} per side are the least; "
            f"enlarge it {times} times."
        )
    if longer > MAX_RATIO * shorter:
        return (
            f"The reference {name} has {width}×{height} pixels; a side may be {MAX_RATIO} times the other at most: "
            f"crop the longer one to {MAX_RATIO * shorter}."
        )
    return None


def _whole_tokens(side: int) -> int:
    return max(1, side // TOKEN_PIXELS) * TOKEN_PIXELS
