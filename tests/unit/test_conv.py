"""Convolutions and group normalisation by bands of rows against their plain definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import numpy as np
import pytest
from mlx.utils import tree_map

from flux2.architecture import limits
from flux2.backend.mlx import mx, nn
from flux2.models.bands import Bands
from flux2.models.conv import Conv2d, GroupNorm, Upsample, group_statistics

Module = TypeVar("Module", bound=nn.Module)


def random_array(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def randomized(module: Module) -> Module:
    module.update(tree_map(lambda weight: random_array(*weight.shape, seed=weight.ndim), module.parameters()))
    return module


@pytest.fixture(params=[1, 3000, 1 << 20], ids=["a row per band", "some rows", "all rows"])
def band_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    for device in ("cpu", "gpu"):
        monkeypatch.setitem(limits.BAND_BYTES, device, request.param)
    yield request.param


def cut(x: mx.array, rows: int = 5) -> Bands:
    """x as bands of other heights than those of an operation."""
    return Bands(x[:, top : top + rows] for top in range(0, x.shape[1], rows))


@pytest.mark.usefixtures("band_bytes")
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (3, 1, (0, 0)), (2, 1, (1, 0)), (1, 1, (0, 0))]
)
def test_bands_change_nothing(kernel: int, stride: int, padding: tuple[int, int]) -> None:
    x, layer = random_array(2, 12, 10, 5), randomized(Conv2d(5, 7, kernel, stride=stride, padding=padding))
    padded = mx.pad(x + 1, [(0, 0), padding, padding, (0, 0)])  # zeros beside what was prepared
    plain = mx.conv2d(padded, layer.weight.transpose(0, 2, 3, 1), stride) + layer.bias
    source = cut(x)
    convolved = layer(source, prepare=lambda rows: rows + 1).whole()
    assert mx.allclose(convolved, plain, rtol=1e-4, atol=1e-5)
    assert sum(band.shape[1] for band in source) <= 5  # the rest was let go


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (3, 1)])
def test_convolves_what_is_smaller_than_its_kernel(height: int, width: int) -> None:
    x, layer = random_array(1, height, width, 5), randomized(Conv2d(5, 7))
    padded = mx.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    plain = mx.conv2d(padded, layer.weight.transpose(0, 2, 3, 1)) + layer.bias
    assert mx.allclose(layer(Bands([x])).whole(), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("band_bytes")
def test_a_doubled_picture_is_convolved_without_being_made() -> None:
    x, layer = random_array(2, 11, 7, 4), randomized(Upsample(4))
    doubled = mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2)
    assert mx.allclose(layer(cut(x)).whole(), layer.conv(Bands([doubled])).whole(), rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("band_bytes")
def test_statistics_are_of_the_whole_picture() -> None:
    x = random_array(2, 9, 6, 12) + mx.arange(12) + 5 * mx.arange(9)[:, None, None]
    groups = np.array(x).astype(np.float64).reshape(2, -1, 3, 4)
    mean, variance = group_statistics(cut(x), 3)
    np.testing.assert_allclose(np.array(mean)[:, 0, 0], groups.mean(axis=(1, 3)), rtol=1e-5)
    np.testing.assert_allclose(np.array(variance)[:, 0, 0], groups.var(axis=(1, 3)), rtol=1e-5)


def test_statistics_survive_a_mean_far_from_zero() -> None:
    _, variance = group_statistics(Bands([random_array(1, 256, 256, 4) + 1000]), 1)
    assert variance.item() == pytest.approx(1, rel=0.01)


def test_group_norm_normalises_scales_and_shifts() -> None:
    norm = GroupNorm(2, 4)
    norm.weight, norm.bias = mx.array([1.0, 2.0, 3.0, 4.0]), mx.array([0.0, 1.0, 0.0, -1.0])
    x = 5 * random_array(1, 32, 32, 4) + 7
    normed = np.array(norm.over(Bands([x]))(x))
    assert normed.mean(axis=(0, 1, 2)) == pytest.approx([0, 1, 0, -1], abs=0.15)
    assert normed.std(axis=(0, 1, 2)) == pytest.approx([1, 2, 3, 4], rel=0.1)
    np.testing.assert_allclose(norm.silu_over(Bands([x]))(x), normed / (1 + np.exp(-normed)), rtol=1e-4, atol=1e-6)
    x = random_array(1, 8, 8, 4).astype(mx.bfloat16)
    assert norm.over(Bands([x]))(x).dtype == norm.silu_over(Bands([x]))(x).dtype == mx.bfloat16
