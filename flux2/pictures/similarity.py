"""How alike two pictures are: PSNR and SSIM, which the field quotes, and how much of the fine texture is left."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

PEAK = 255.0
"""The range of a picture's values."""
_WINDOW, _SIGMA = 11, 1.5
_K1, _K2 = 0.01, 0.03
"""Window and constants of Wang, Bovik, Sheikh, Simoncelli: Image Quality Assessment (IEEE TIP 13(4), 2004), III-B."""
_LUMA = np.array([0.299, 0.587, 0.114])
"""ITU-R BT.601, as in the authors' own program (MATLAB's rgb2gray)."""
_BAND_ROWS = 256
"""Rows compared at a time, so that a picture of 4096 × 4096 needs tens of megabytes and not a gigabyte."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Similarity:
    psnr: float
    """dB, infinite for equal pictures."""
    ssim: float
    """1 for equal pictures."""
    texture: float
    """Energy of what is finer than a few pixels, as a share of the reference's: below 1 where it was smoothed away."""

    def lines(self) -> tuple[str, str, str]:
        """A line for each figure, as every sheet and screen shows them."""
        psnr, ssim, texture = self.figures()
        return f"PSNR {psnr} dB", f"SSIM {ssim}", f"texture {texture}"

    def figures(self) -> tuple[str, str, str]:
        """The figures to so many digits as tell something."""
        values = ((self.psnr, 1), (self.ssim, 3), (self.texture, 2))
        psnr, ssim, texture = ("∞" if math.isinf(value) else f"{value:.{digits}f}" for value, digits in values)
        return psnr, ssim, texture


def compare(picture: Image.Image, reference: Image.Image) -> Similarity:
    """All figures of a picture beside a reference of its size.

    Raises:
        ValueError: if their sizes differ.
    """
    ours, theirs = np.asarray(picture.convert("RGB")), np.asarray(reference.convert("RGB"))
    return Similarity(psnr(ours, theirs), ssim(ours, theirs), texture(ours, theirs))


def difference(picture: Image.Image, reference: Image.Image, amplified: float) -> Image.Image:
    """How far each channel of each pixel is from the reference's, times `amplified`; black where nothing differs.

    Raises:
        ValueError: if their sizes differ.
    """
    if picture.size != reference.size:
        raise ValueError(f"pictures of {picture.size} and {reference.size} pixels can't be compared")
    far = ImageChops.difference(picture.convert("RGB"), reference.convert("RGB"))
    return far.point(lambda value: round(value * amplified))


def psnr(picture: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Peak signal-to-noise ratio of [H, W, 3] in dB, over all channels; infinite for equal pictures.

    Raises:
        ValueError: if the shapes differ.
    """
    _check(picture, reference)
    squares = 0.0
    for rows in _bands(picture.shape[0], overlap=0):
        difference = picture[rows].astype(np.int32) - reference[rows]
        squares += float(np.sum(difference * difference, dtype=np.int64))
    return 10.0 * math.log10(PEAK**2 * picture.size / squares) if squares else math.inf


def ssim(picture: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Mean structural similarity of the luma of [H, W, 3]: 1 for equal pictures; every window lies within the picture.

    Raises:
        ValueError: if the shapes differ, or a side is shorter than the window's 11 pixels.
    """
    _check(picture, reference)
    _check_window(picture)
    total, count = 0.0, 0
    for rows in _bands(picture.shape[0], overlap=_WINDOW - 1):
        values = _ssim_map(picture[rows] @ _LUMA, reference[rows] @ _LUMA)
        total, count = total + float(values.sum()), count + values.size
    return total / count


def texture(picture: NDArray[np.uint8], reference: NDArray[np.uint8]) -> float:
    """Energy of the luma of [H, W, 3] above its blur, relative to the reference's; infinite where that has none.

    The blur is SSIM's window, a Gaussian of 1.5 pixels: what is left is edges, grain and detail. PSNR hardly sees it,
    for it holds little of a picture's energy, and SSIM weighs it by the window's contrast.

    Raises:
        ValueError: if the shapes differ, or a side is shorter than the window's 11 pixels.
    """
    _check(picture, reference)
    _check_window(picture)
    ours, theirs = _fine_energy(picture), _fine_energy(reference)
    return ours / theirs if theirs else math.inf if ours else 1.0


def _fine_energy(pixels: NDArray[np.uint8]) -> float:
    edge, energy = _WINDOW // 2, 0.0
    for rows in _bands(pixels.shape[0], overlap=_WINDOW - 1):
        luma: Floats = pixels[rows] @ _LUMA
        fine = luma[edge:-edge, edge:-edge] - _blurred(luma)
        energy += float(np.sum(fine * fine)) if np.ptp(luma) else 0.0
    return energy


def _ssim_map(x: Floats, y: Floats) -> Floats:
    """The index (equation 13 of the paper) of every window."""
    c1, c2 = (_K1 * PEAK) ** 2, (_K2 * PEAK) ** 2
    mean_x, mean_y = _blurred(x), _blurred(y)
    variance_x = _blurred(x * x) - mean_x**2
    variance_y = _blurred(y * y) - mean_y**2
    covariance = _blurred(x * y) - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure: Floats = luminance * (2 * covariance + c2) / (variance_x + variance_y + c2)
    return structure


def _blurred(values: Floats) -> Floats:
    """Weighted by the Gaussian window, rows then columns; as many fewer rows and columns as the window overlaps."""
    weights = np.exp(-((np.arange(_WINDOW) - _WINDOW // 2) ** 2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    height, width = values.shape[0] - _WINDOW + 1, values.shape[1] - _WINDOW + 1
    down, across = np.zeros((height, values.shape[1])), np.zeros((height, width))
    for place, weight in enumerate(weights):
        down += weight * values[place : place + height]
    for place, weight in enumerate(weights):
        across += weight * down[:, place : place + width]
    return across


def _bands(height: int, overlap: int) -> list[slice]:
    """Slices of rows that together cover every row, or every window of `overlap + 1` rows, once."""
    starts = range(0, height - overlap, _BAND_ROWS)
    return [slice(start, min(height, start + _BAND_ROWS + overlap)) for start in starts]


def _check_window(picture: NDArray[np.uint8]) -> None:
    if min(picture.shape[:2]) < _WINDOW:
        raise ValueError(
            f"SSIM and texture need {_WINDOW} pixels a side; this picture is {picture.shape[1]}×{picture.shape[0]}"
        )


def _check(picture: NDArray[np.uint8], reference: NDArray[np.uint8]) -> None:
    if picture.shape != reference.shape:
        raise ValueError(f"pictures of {picture.shape[1::-1]} and {reference.shape[1::-1]} pixels can't be compared")
