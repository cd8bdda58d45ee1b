"""PSNR and SSIM against another program's figures, closed forms, and their own definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from flux2.pictures import similarity


def waves(height: int = 300, width: int = 70, noise: float = 0.0) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    base = np.stack([128 + 100 * np.sin(x / 9 + y / 13), 128 + 90 * np.cos(y / 7), (x * 3 + y) % 256], -1)
    base = base + np.random.default_rng(7).normal(0, 1, base.shape) * noise
    return np.clip(base, 0, 255).round().astype(np.uint8)


def flat(value: int) -> np.ndarray:
    return np.full((20, 20, 3), value, np.uint8)


def test_the_figures_of_scikit_image() -> None:
    """0.26's `peak_signal_noise_ratio` and `structural_similarity` (Gaussian weights, luma) of the same arrays.

    More rows than a band has, so that the bands' seams are looked at, too.
    """
    assert similarity.psnr(waves(noise=12), waves()) == pytest.approx(26.629106841822168, abs=1e-9)
    assert similarity.ssim(waves(noise=12), waves()) == pytest.approx(0.7537571866093676, abs=1e-9)


def test_equal_pictures() -> None:
    same = similarity.compare(Image.fromarray(waves()), Image.fromarray(waves()))
    assert same.psnr == math.inf
    assert same.ssim == pytest.approx(1.0, abs=1e-12)


def test_flat_pictures_follow_the_closed_form() -> None:
    """Without variance only the luminance term is left: (2ab + c1) / (a² + b² + c1)."""
    c1 = (0.01 * 255) ** 2
    assert similarity.ssim(flat(100), flat(150)) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))
    assert similarity.psnr(flat(100), flat(101)) == pytest.approx(20 * math.log10(255))


def test_texture_is_the_energy_that_a_blur_takes_away() -> None:
    """Half the contrast is a quarter of the energy, at whatever brightness; noise adds, and a blur takes away."""
    grey = waves(noise=12)[..., :1].repeat(3, axis=-1)
    half = (64 + grey / 2).round().astype(np.uint8)
    assert similarity.texture(half, grey) == pytest.approx(0.25, abs=0.02)
    assert similarity.texture(waves(noise=12), waves()) > 2
    soft = np.asarray(Image.fromarray(waves(noise=12)).filter(ImageFilter.GaussianBlur(2)))
    assert similarity.texture(soft, waves(noise=12)) < 0.1
    assert similarity.texture(flat(3), flat(9)) == 1
    assert similarity.texture(waves(), np.full_like(waves(), 9)) == math.inf


def test_what_cannot_be_compared_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        similarity.ssim(waves(64, 64), waves(64, 80))
    with pytest.raises(ValueError, match="11 pixels"):
        similarity.ssim(waves(8, 64), waves(8, 64))


def test_a_difference_is_amplified_and_black_where_there_is_none() -> None:
    ours, reference = (Image.new("RGB", (16, 16), color) for color in ((100, 50, 7), (90, 50, 255)))
    assert similarity.difference(ours, reference, 8.0).getpixel((3, 3)) == (80, 0, 255)
    with pytest.raises(ValueError, match="can't be compared"):
        similarity.difference(ours, Image.new("RGB", (8, 16)), 1.0)
