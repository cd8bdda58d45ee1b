"""Masks as people have them: pictures of any size and mode, mapped to the source; and what they mean to the model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.reference_sizes import Size
from flux2.canvas.mask_drawing import REPAINTED, Mask, invert, painted_box
from flux2.canvas.window import Window
from flux2.errors import RequestError
from flux2.pictures.as_seen import Pixels

NEARLY = 4
"""How far from 0 or 255 a value is still taken for it: a JPEG's black is not quite black."""


def read_mask(picture: Image.Image) -> Mask:
    """Mask in a picture of any mode, at its own size: white repaints, black keeps.

    Of one that is transparent in places, these are repainted, unless all that can be seen of it is black and white:
    then it was painted on nothing, and nothing is kept.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        pixels = np.asarray(picture.convert("RGBA"))
        if pixels[..., 3].min() < REPAINTED:
            return _sure(_of_transparency(pixels[..., :3], pixels[..., 3]))
        picture = picture.convert("RGB")
    if picture.mode in ("I", "F") or picture.mode.startswith("I;16"):
        values = np.asarray(picture).astype(np.float64)
        return _sure(np.rint(values * (REPAINTED / _white(picture.mode, values))).clip(0, REPAINTED).astype(np.uint8))
    return _sure(np.array(picture.convert("L")))


def mapped(mask: Mask, size: Size) -> Mask:
    """Mask of a picture of this size, stretched to it where it has another."""
    height, width = mask.shape
    if (width, height) == size:
        return mask
    shrinks = width > size[0] or height > size[1]
    resampling = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.array(Image.fromarray(mask).resize(size, resampling))


def check_mask(mask: Mask) -> None:
    """Raises RequestError if there is nothing to repaint in it, or nothing to keep."""
    if painted_box(mask) is None:
        raise RequestError("The mask is black all over and would repaint nothing; paint white what is to change.")
    if mask.min() == REPAINTED:
        raise RequestError(
            "The mask is white all over and would keep nothing; paint black what is to stay, or give a strength in its "
            "place."
        )


def token_weights(mask: Mask, window: Window) -> npt.NDArray[np.float32]:
    """Freedom of each token of the window to become another, 0 to 1, [tokens], row by row.

    It is that of its freest pixel. With their mean, a line that takes a sixteenth of a token would vanish: what is kept
    is mixed in after every step, and of what was painted a sixteenth would be left. The rest of the token is free for
    nothing: how much of what is painted shows is settled pixel by pixel, when it is laid over the source.
    """
    across, down = window.working[0] // TOKEN_PIXELS, window.working[1] // TOKEN_PIXELS
    freest = _freest(_freest(mask, window.top, window.height, down).T, window.left, window.width, across).T
    return (freest / np.float32(REPAINTED)).astype(np.float32).reshape(-1)


def _freest(mask: Mask, start: int, count: int, tokens: int) -> Mask:
    """Greatest value of the rows that each token has a share in, [tokens, columns]; beyond the mask all is kept."""
    edges = start + np.arange(tokens + 1) * (count / tokens)
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    rows = [mask[max(0, a) : max(0, b)].max(axis=0, initial=0) for a, b in zip(first, last, strict=True)]
    return np.stack(rows)


def _of_transparency(colours: Pixels, alpha: Mask) -> Mask:
    seen = colours[alpha > 0]
    black, white = (seen <= NEARLY).all(axis=-1), (seen >= REPAINTED - NEARLY).all(axis=-1)
    if white.any() and (black | white).all():
        return np.rint(colours[..., 0] * (alpha / REPAINTED)).astype(np.uint8)
    return invert(alpha)


def _white(mode: str, values: npt.NDArray[np.float64]) -> float:
    """Value that stands for white: of 16 bits, if not all fit into 8, or of floats from 0 to 1."""
    most = values.max(initial=0)
    if mode == "F" and most <= 1:
        return 1.0
    return REPAINTED if mode in ("I", "F") and most <= REPAINTED else 65535.0


def _sure(mask: Mask) -> Mask:
    """Mask whose nearly black is black, and whose nearly white is white."""
    sure = mask.copy()
    sure[mask <= NEARLY] = 0
    sure[mask >= REPAINTED - NEARLY] = REPAINTED
    return sure
