"""A mask while it is drawn: the shape that keys move and size, what they do with it, and every step back.

Knows nothing of Textual. The mask has the picture's shape, with a megapixel at most: it is mapped to the picture when
that is repainted.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from flux2.canvas import mask_drawing

if TYPE_CHECKING:
    from flux2.canvas.mask_drawing import Box, Mask

MOST_PIXELS = 1024 * 1024
UNDONE = 100
"""Changes that can be undone."""
GROWN, FEATHERED = 1 / 64, 1 / 32
"""What a key grows the mask by, and how wide it makes its edges: shares of the picture's shorter side."""


class MaskBoard:
    def __init__(self, width: int, height: int, mask: Mask | None = None) -> None:
        """
        Args:
            width: of the picture, pixels.
            height: of the picture, pixels.
            mask: what there is already, of any size.
        """
        scale = min(1.0, (MOST_PIXELS / max(1, width * height)) ** 0.5)
        self.width, self.height = max(1, round(width * scale)), max(1, round(height * scale))
        self.mask = mask_drawing.blank(self.width, self.height) if mask is None else self._mapped(mask)
        self.is_ellipse = False
        self._box = [self.width / 4, self.height / 4, self.width * 3 / 4, self.height * 3 / 4]
        self._before: list[bytes] = []
        self.changed = False
        """Whether it is another mask than in the beginning."""

    # --- the shape ---------------------------------------------------------------------------------------------------

    @property
    def box(self) -> Box:
        """The shape's rectangle."""
        left, top, right, bottom = map(round, self._box)
        return left, top, max(left + 1, right), max(top + 1, bottom)

    def move(self, across: float, down: float) -> None:
        """Move the shape by so many pixels; some of it stays on the picture."""
        left, top, right, bottom = self._box
        across = _within(across, 1 - right, self.width - 1 - left)
        down = _within(down, 1 - bottom, self.height - 1 - top)
        self._box = [left + across, top + down, right + across, bottom + down]

    def size(self, across: float, down: float) -> None:
        """Move its right and lower edges by so many pixels."""
        left, top, right, bottom = self._box
        right = _within(right + across, max(left, 0) + abs(across or 1), max(self.width, left + 1))
        bottom = _within(bottom + down, max(top, 0) + abs(down or 1), max(self.height, top + 1))
        self._box = [left, top, right, bottom]

    def scale(self, across: float, down: float) -> None:
        """Move all its edges outwards by so many pixels, or inwards where that leaves something."""
        left, top, right, bottom = self._box
        if right - left + 2 * across >= 1:
            left, right = left - across, right + across
        if bottom - top + 2 * down >= 1:
            top, bottom = top - down, bottom + down
        self._box = [left, top, right, bottom]
        self.move(0, 0)

    # --- the mask ----------------------------------------------------------------------------------------------------

    @property
    def covered(self) -> float:
        """Share of the picture that is repainted, 0 to 1."""
        return mask_drawing.covered(self.mask)

    def paint(self, *, erase: bool = False) -> None:
        """Repaint what lies in the shape, or keep it."""
        draw = mask_drawing.ellipse if self.is_ellipse else mask_drawing.rectangle
        self.replace(draw(self.mask, self.box, mask_drawing.KEPT if erase else mask_drawing.REPAINTED))

    def invert(self) -> None:
        self.replace(mask_drawing.invert(self.mask))

    def grow(self, by: int) -> None:
        """A step wider on all sides, or narrower where `by` is -1."""
        self.replace(mask_drawing.grow(self.mask, by * max(1, round(min(self.mask.shape) * GROWN))))

    def feather(self) -> None:
        """Softer edges."""
        self.replace(mask_drawing.feather(self.mask, max(2, round(min(self.mask.shape) * FEATHERED))))

    def clear(self) -> None:
        self.replace(mask_drawing.blank(self.width, self.height))

    def take(self, mask: Mask) -> None:
        """Another mask in its place, of any size."""
        self.replace(self._mapped(mask))

    def replace(self, mask: Mask) -> None:
        """Another mask of its size; what was there can be brought back."""
        if (mask == self.mask).all():
            return
        self._before = [*self._before[1 - UNDONE :], zlib.compress(self.mask.tobytes(), 1)]
        self.mask, self.changed = mask, True

    @property
    def can_undo(self) -> bool:
        return bool(self._before)

    def undo(self) -> None:
        """The mask before its last change."""
        import numpy as np

        if self._before:
            content = zlib.decompress(self._before.pop())
            self.mask = np.frombuffer(content, np.uint8).reshape(self.mask.shape).copy()

    def _mapped(self, mask: Mask) -> Mask:
        from flux2.canvas.masks import mapped

        return mapped(mask, (self.width, self.height))


def _within(value: float, least: float, most: float) -> float:
    return max(least, min(most, value))
