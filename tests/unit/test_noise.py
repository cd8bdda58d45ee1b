"""A seed's noise is PyTorch's, and what an earlier version made keeps its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flux2.denoise.noise import mlx_noise, noise_of, spherical, torch_noise
from flux2.errors import RequestError
from flux2.pictures.image_metadata import ImageMetadata
from flux2.request import GenerationRequest
from flux2.request_fields import decisive

REQUEST = GenerationRequest(prompt="a fox", seed=42, width=64, height=64)
SHAPE = (1, 128, 4, 4)


@pytest.mark.parametrize(
    ("seed", "shape", "ends", "total"),
    [
        (42, (1, 128, 1, 1), [1.9269153, 1.4872841, 0.9007172, 0.339891, 0.7199675, 0.4114076], 10.393824),
        (2**32 - 1, (1, 128, 2, 3), [-2.6642976, -1.0910486, 0.4514474, 1.59921, 0.0524833, -0.1853149], -14.681007),
        (0, (1, 128, 4, 4), [-1.1258398, -1.1523602, -0.2505786, -0.3812312, -1.6687496, 1.0869349], 27.133598),
    ],
)
def test_numbers_that_pytorch_draws(seed: int, shape: tuple[int, ...], ends: list[float], total: float) -> None:
    """Recorded of `torch.randn(shape, generator=torch.Generator("cpu").manual_seed(seed))`, PyTorch 2.13."""
    noise = torch_noise(seed, shape).ravel()
    np.testing.assert_allclose([*noise[:3], *noise[-3:]], ends, atol=5e-7)
    assert noise.sum() == pytest.approx(total, abs=1e-4)


def test_a_request_draws_pytorchs_noise_unless_it_says_mlxs() -> None:
    np.testing.assert_array_equal(noise_of(REQUEST, 128), torch_noise(42, SHAPE))
    np.testing.assert_array_equal(noise_of(replace(REQUEST, noise="mlx"), 128), mlx_noise(42, SHAPE))
    with pytest.raises(RequestError, match="torch, mlx"):
        replace(REQUEST, noise="cuda").validated()


def test_a_picture_of_an_earlier_version_keeps_its_noise() -> None:
    told = ImageMetadata(request=REQUEST).to_dict()
    assert ImageMetadata.from_dict(told).request.noise == "torch"
    del told["noise"]
    assert ImageMetadata.from_dict(told).request.noise == "mlx"


def test_a_variation_lies_between_two_seeds_and_is_as_long_as_noise() -> None:
    start, end = torch_noise(1, SHAPE), torch_noise(2, SHAPE)
    between = spherical(start, end, 0.3)
    assert np.linalg.norm(between) == pytest.approx(np.linalg.norm(start), rel=0.02)
    assert np.linalg.norm(between - start) < np.linalg.norm(between - end) < np.linalg.norm(start - end)
    np.testing.assert_allclose(spherical(start, end, 0.0), start, atol=1e-6)
    np.testing.assert_allclose(spherical(start, end, 1.0), end, atol=1e-6)
    np.testing.assert_array_equal(spherical(start, start, 0.5), start)


def test_a_request_with_a_variation() -> None:
    varied = replace(REQUEST, variation_seed=7, variation_strength=0.25).validated()
    np.testing.assert_array_equal(
        noise_of(varied, 128), spherical(torch_noise(42, SHAPE), torch_noise(7, SHAPE), np.float64(0.25))
    )
    assert decisive(varied) != decisive(REQUEST)
    with pytest.raises(RequestError, match="changes nothing"):
        replace(varied, variation_strength=None).validated()
    assert replace(varied, variation_seed=None).with_seed().variation_seed is not None
    with pytest.raises(RequestError, match="variation strength"):
        replace(varied, variation_strength=1.5).validated()
