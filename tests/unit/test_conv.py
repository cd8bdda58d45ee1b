"""Convolutions and group normalisation against their plain definitions."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.mlx_backend import mx
from flux2.models import conv
from flux2.models.conv import GroupNorm, convolve, convolve_doubled, group_statistics


def random_array(*shape: int, seed: int = 0) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


@pytest.mark.parametrize("windows_bytes", [1, 3000, 1 << 20])  # a row per band, some, all
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(3, 1, (1, 1)), (3, 2, (0, 1)), (3, 1, (0, 0)), (2, 1, (1, 0)), (1, 1, (0, 0))]
)
def test_bands_change_nothing(
    monkeypatch: pytest.MonkeyPatch, windows_bytes: int, kernel: int, stride: int, padding: tuple[int, int]
) -> None:
    monkeypatch.setattr(conv, "CPU_WINDOWS_BYTES", windows_bytes)
    x, weight = random_array(2, 12, 10, 5), random_array(7, 5, kernel, kernel, seed=1)
    padded = mx.pad(x, [(0, 0), padding, padding, (0, 0)])
    plain = mx.conv2d(padded, weight.transpose(0, 2, 3, 1), stride)
    assert mx.allclose(convolve(x, weight, stride, padding, padding), plain, rtol=1e-4, atol=1e-5)


def test_a_doubled_picture_is_convolved_without_being_made() -> None:
    x, weight = random_array(2, 5, 7, 4), random_array(6, 4, 3, 3, seed=1)
    doubled = mx.repeat(mx.repeat(x, 2, axis=1), 2, axis=2)
    plain = convolve(doubled, weight, 1, (1, 1), (1, 1))
    assert mx.allclose(convolve_doubled(x, weight), plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("statistics_bytes", [1, 1 << 20])
def test_statistics_are_of_the_whole_picture(monkeypatch: pytest.MonkeyPatch, statistics_bytes: int) -> None:
    monkeypatch.setattr(conv, "STATISTICS_BYTES", statistics_bytes)
    x = random_array(2, 9, 6, 12) + mx.arange(12)
    groups = np.array(x).astype(np.float64).reshape(2, -1, 3, 4)
    mean, variance = group_statistics(x, 3)
    np.testing.assert_allclose(np.array(mean)[:, 0, 0], groups.mean(axis=(1, 3)), rtol=1e-5)
    np.testing.assert_allclose(np.array(variance)[:, 0, 0], groups.var(axis=(1, 3)), rtol=1e-5)


def test_statistics_survive_a_mean_far_from_zero() -> None:
    _, variance = group_statistics(random_array(1, 256, 256, 4) + 1000, 1)
    assert variance.item() == pytest.approx(1, rel=0.01)


def test_group_norm_normalises_scales_and_shifts() -> None:
    norm = GroupNorm(2, 4)
    norm.weight, norm.bias = mx.array([1.0, 2.0, 3.0, 4.0]), mx.array([0.0, 1.0, 0.0, -1.0])
    normed = np.array(norm(5 * random_array(1, 32, 32, 4) + 7))
    assert normed.mean(axis=(0, 1, 2)) == pytest.approx([0, 1, 0, -1], abs=0.15)
    assert normed.std(axis=(0, 1, 2)) == pytest.approx([1, 2, 3, 4], rel=0.1)
    x = random_array(1, 8, 8, 4).astype(mx.bfloat16)
    assert norm(x).dtype == norm.silu(x).dtype == mx.bfloat16
