"""Sizes of a picture that is changed itself: of the canvas that comes out, and of the picture that the model works on.

The canvas is the source with what outpainting adds, at full size. The model works on a multiple of 16 pixels per side:
on the canvas as it is, padded, where that has no more than a megapixel or is extended; else on a smaller one of its
shape. Width and height of a request, where they are given, are what the model works on.
"""

from __future__ import annotations

import math

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.reference_sizes import MIN_SIDE, Size

Margins = tuple[int, ...]
"""Pixels added at top, right, bottom and left, four numbers."""

MOST_PIXELS = 1024 * 1024
"""Pixels of a source that are worked on at most where nobody says more, as in diffusers' inpainting."""


def canvas_size(source: Size, outpaint: Margins | None) -> Size:
    """Size of the source with its margins."""
    top, right, bottom, left = outpaint or (0, 0, 0, 0)
    return source[0] + left + right, source[1] + top + bottom


def working_size(source: Size, outpaint: Margins | None, most_side: int, most_pixels: int = MOST_PIXELS) -> Size:
    """Size that the model works at where the request names none.

    Args:
        most_side: pixels of a side, a multiple of 16.
        most_pixels: pixels in all, where nothing is extended.
    """
    width, height = canvas_size(source, outpaint)
    longer, shorter = max(width, height), min(width, height)
    scale = min(1.0, most_side / longer)
    if not outpaint:
        scale = min(scale, math.sqrt(most_pixels / (width * height)))
    if scale == 1.0:
        return _next_multiple(width), _next_multiple(height)
    side = max(MIN_SIDE, int(shorter * scale) // TOKEN_PIXELS * TOKEN_PIXELS)
    other = _next_multiple(math.ceil(longer * side / shorter))
    return (side, other) if width == shorter else (other, side)


def canvas_complaint(source: Size, outpaint: Margins | None, least_side: int, most_side: int) -> str | None:
    """What is wrong with a canvas of these sizes: a sentence with a remedy, or None."""
    if min(source) < least_side:
        return (
            f"The source has {source[0]}×{source[1]} pixels, and {least_side} per side are the least; enlarge it "
            f"{math.ceil(least_side / min(source))} times."
        )
    width, height = canvas_size(source, outpaint)
    if outpaint and max(width, height) > most_side:
        return (
            f"Extended by {_listed(outpaint)} the canvas would have {width}×{height} pixels, and {most_side} per side "
            f"are the most; {_what_fits(source, most_side)}."
        )
    if max(working_size(source, outpaint, most_side)) > most_side:
        return (
            f"The source has {width}×{height} pixels, which is too long: worked on at a size that models can do, its "
            f"shorter side would have fewer than {least_side}; crop it."
        )
    return None


def _listed(margins: Margins) -> str:
    return ",".join(map(str, margins))


def _what_fits(source: Size, most_side: int) -> str:
    across, down = most_side - source[0], most_side - source[1]
    if min(across, down) < 0:
        return f"the source alone has {source[0]}×{source[1]}: make it smaller first"
    return f"there is room for {across} at left and right together, and for {down} at top and bottom"


def _next_multiple(pixels: int) -> int:
    return -(-pixels // TOKEN_PIXELS) * TOKEN_PIXELS
