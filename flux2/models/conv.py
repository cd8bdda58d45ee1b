"""Convolution and group normalisation on [batch, height, width, channels], with bounded temporaries."""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

import math

from flux2.mlx_backend import mx, nn, on_cpu
from flux2.models.layers import fused

BAND_BYTES = 32 << 20
"""Most that the temporaries of a band of rows take in `group_statistics`."""

CPU_WINDOWS_BYTES = 2 << 20
"""Most that the copied windows of a band of rows take in a convolution on the CPU: measured, 1 and 2 MiB are the
fastest, 4 and more take half as long again."""


class Conv2d(nn.Module):
    """A 2-D convolution whose weight lies as checkpoints store it: [out, in, height, width]."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, *, stride: int = 1, padding: int = 1
    ) -> None:
        super().__init__()
        self._stride, self._padding = stride, padding
        self.weight = mx.zeros((out_channels, in_channels, kernel_size, kernel_size))
        self.bias = mx.zeros((out_channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return convolve(x, self.weight, self._stride, self._padding) + self.bias


class GroupNorm(nn.Module):
    """Normalise groups of channels over the whole picture; the statistics are float32 (PyTorch's GroupNorm)."""

    def __init__(self, groups: int, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self._groups, self._eps = groups, eps
        self.weight = mx.ones((channels,))
        self.bias = mx.zeros((channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return _affine(x, *self._scale_and_shift(x)).astype(x.dtype)

    def silu(self, x: mx.array) -> mx.array:
        """silu of the normalised x, without keeping the one for the other."""
        return _affine_silu(x, *self._scale_and_shift(x)).astype(x.dtype)

    def _scale_and_shift(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """The normalisation as one multiplication and one addition per channel, float32 [batch, 1, 1, channels]."""
        mean, variance = group_statistics(x, self._groups)
        share = x.shape[-1] // self._groups
        mean, deviation = (mx.repeat(part, share, axis=-1) for part in (mean, mx.rsqrt(variance + self._eps)))
        scale = deviation * self.weight.astype(mx.float32)
        return scale, self.bias.astype(mx.float32) - mean * scale


def group_statistics(x: mx.array, groups: int) -> tuple[mx.array, mx.array]:
    """Mean and variance of each group of channels over the whole picture, float32 [batch, 1, 1, groups].

    Row by row first, so that a picture of millions of pixels loses no precision, and band by band, so that the squares
    are never all there at once.
    """
    bands = [band.reshape(*band.shape[:3], groups, -1).astype(mx.float32) for band in split_rows(x)]
    mean = mx.concatenate([band.mean(axis=(2, 4)) for band in bands], axis=1).mean(axis=1)
    centre = mean[:, None, None, :, None]
    squares = mx.concatenate([mx.square(band - centre).mean(axis=(2, 4)) for band in bands], axis=1)
    return mean[:, None, None], squares.mean(axis=1)[:, None, None]


def convolve(x: mx.array, weight: mx.array, stride: int, padding: int) -> mx.array:
    """x [batch, height, width, in] with a weight [out, in, height, width] → [batch, height', width', out]."""
    if weight.shape[2:] == (1, 1):
        return x @ weight[:, :, 0, 0].T
    weight = weight.transpose(0, 2, 3, 1)
    if on_cpu():
        return _convolve_by_bands(x, weight, stride, padding)
    return mx.conv2d(x, weight, stride, padding)


def _convolve_by_bands(x: mx.array, weight: mx.array, stride: int, padding: int) -> mx.array:
    """The same, one band of rows after the other.

    The CPU backend copies every window of its input before it multiplies. Bands keep these copies in the cache, and
    their memory bounded: 64 → 64 channels at 256×256 take 115 ms instead of 221 (one core).
    """
    kernel_height = weight.shape[1]
    height, width = x.shape[1] + 2 * padding, x.shape[2] + 2 * padding
    rows = (height - kernel_height) // stride + 1
    x = mx.pad(x, [(0, 0), (padding, padding), (0, 0), (0, 0)])
    step = max(1, CPU_WINDOWS_BYTES * stride // (x.itemsize * width * math.prod(weight.shape[1:])))
    bands = []
    for top in range(0, rows, step):
        bottom = (min(top + step, rows) - 1) * stride + kernel_height
        bands.append(mx.conv2d(x[:, top * stride : bottom], weight, stride, (0, padding)))
    return mx.concatenate(bands, axis=1)


def split_rows(x: mx.array) -> list[mx.array]:
    """x cut into bands of rows of at most BAND_BYTES in float32."""
    row_bytes = 4 * math.prod(x.shape) // x.shape[1]
    step = max(1, BAND_BYTES // row_bytes)
    return [x[:, top : top + step] for top in range(0, x.shape[1], step)]


@fused
def _affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return x * scale + shift


@fused
def _affine_silu(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    y = x * scale + shift
    return y * mx.sigmoid(y)
