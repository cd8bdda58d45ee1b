"""A source extended by new strips: what fills them until they are painted, and the mask that has them painted.

The recipe is flux-2-swift-mlx's: grey noise, for a gradient or the edge's colours would show in what is painted as
bands; and a ramp within the source, so that the seam is painted together with both its sides.
"""

from __future__ import annotations

import numpy as np

from flux2.architecture.canvas_sizes import Margins, canvas_size
from flux2.architecture.reference_sizes import Size
from flux2.canvas.mask_drawing import REPAINTED, Mask
from flux2.pictures.as_seen import Pixels

GREY, DEVIATION = 128, 32
"""Mean and standard deviation of the noise that fills a strip until it is painted."""
RAMP = 32
"""Pixels of the source beside a strip over which it is repainted less and less; a quarter of it at most."""


def extended(source: Pixels, margins: Margins, seed: int) -> Pixels:
    """Canvas with the source in its place and noise of this seed in the strips."""
    height, width, _ = source.shape
    across, down = canvas_size((width, height), margins)
    noise = np.random.default_rng(seed).normal(GREY, DEVIATION, (down, across, 3))
    canvas = np.rint(noise).clip(0, 255).astype(np.uint8)
    top, _, _, left = margins
    canvas[top : top + height, left : left + width] = source
    return canvas


def extension_mask(source: Size, margins: Margins, within: Mask | None = None) -> Mask:
    """Mask of the canvas: the strips and a ramp beside each.

    Args:
        within: what is repainted of the source besides, a mask of its size.
    """
    width, height = source
    top, right, bottom, left = margins
    rows = np.maximum(_ramp(height, top), _ramp(height, bottom)[::-1])
    columns = np.maximum(_ramp(width, left), _ramp(width, right)[::-1])
    inner = np.maximum(rows[:, None], columns)
    if within is not None:
        inner = np.maximum(inner, within)
    return np.pad(inner, ((top, bottom), (left, right)), constant_values=REPAINTED)


def _ramp(side: int, margin: int) -> Mask:
    """Mask along a side of the source, from its edge on, where it is extended there."""
    length = min(RAMP, side // 4) if margin else 0
    ramp = np.zeros(side, np.uint8)
    ramp[:length] = np.rint(REPAINTED * (1 - (np.arange(length) + 0.5) / max(1, length)))
    return ramp
