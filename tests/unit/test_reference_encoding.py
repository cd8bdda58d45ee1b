"""A picture's clean latents: packed, of what a decoder undoes, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.architecture import limits
from flux2.backend.mlx import mx
from flux2.references.encoding import Pixels, encode_picture
from tests.unit.checkpoints import resident
from tests.unit.test_autoencoder import random_autoencoder


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_latents_are_packed_row_by_row() -> None:
    vae, pixels = random_autoencoder(), noise(32, 80)
    stages: list[int] = []

    def after_stage(*bands: mx.array) -> None:
        mx.eval(*bands)
        stages.append(len(bands))

    latents = encode_picture(vae, pixels, after_stage)
    assert (latents.shape, latents.dtype) == ((1, 2 * 5, 128), mx.float32)
    assert len(stages) == len(vae.encode_stages())
    whole = vae.encode(mx.array(pixels[None]).astype(mx.float32) / 127.5 - 1)
    assert mx.array_equal(latents.reshape(1, 2, 5, 128), whole)


def test_memory_is_two_of_the_largest_activation_and_some_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("cpu", "gpu"):
        monkeypatch.setitem(limits.BAND_BYTES, device, 64 << 10)
        monkeypatch.setitem(limits.SCORES_BYTES, device, 64 << 10)
    side = 256
    vae, pixels = random_autoencoder(), noise(side, side)
    largest = side * side * 32 * 4  # what a residual block of the first level takes in, and as much that it makes
    others = resident()
    mx.reset_peak_memory()
    encode_picture(vae, pixels)
    above = mx.get_peak_memory() - others
    assert 2 * largest < above < 2.15 * largest


@pytest.mark.parametrize(("height", "width"), [(33, 64), (64, 8)])
def test_sides_are_multiples_of_a_tokens(height: int, width: int) -> None:
    with pytest.raises(AssertionError):
        encode_picture(random_autoencoder(), noise(height, width))
