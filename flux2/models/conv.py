"""Convolution and group normalisation on [batch, height, width, channels], with bounded temporaries."""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

import math

from flux2.mlx_backend import mx, nn, on_cpu
from flux2.models.layers import fused, silu

STATISTICS_BYTES = 32 << 20
"""Most that a temporary of a band of rows takes in `group_statistics`."""

CPU_WINDOWS_BYTES = 2 << 20
"""Most that the copied windows of a band of rows take in a convolution on the CPU: measured, 1 and 2 MiB are the
fastest, 4 and more take half as long again."""


class Conv2d(nn.Module):
    """A 2-D convolution whose weight lies as checkpoints store it: [out, in, height, width].

    `padding` is what is put before and after the picture, along both sides.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        *,
        stride: int = 1,
        padding: tuple[int, int] = (1, 1),
    ) -> None:
        super().__init__()
        self._stride, self._padding = stride, padding
        self.weight = mx.zeros((out_channels, in_channels, kernel_size, kernel_size))
        self.bias = mx.zeros((out_channels,))

    def __call__(self, x: mx.array) -> mx.array:
        return convolve(x, self.weight, self._stride, self._padding, self._padding) + self.bias


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
        """silu of the normalised x."""
        return silu(_affine(x, *self._scale_and_shift(x))).astype(x.dtype)

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
    row_bytes = 4 * math.prod(x.shape) // x.shape[1]
    step = max(1, STATISTICS_BYTES // row_bytes)
    bands = [x[:, top : top + step].astype(mx.float32) for top in range(0, x.shape[1], step)]
    mean = _group_mean([band.mean(axis=2) for band in bands], groups)
    centre = mx.repeat(mean, x.shape[-1] // groups, axis=-1)
    squares = []
    for band in bands:
        squares.append(mx.square(band - centre).mean(axis=2))
        mx.eval(squares[-1])
    return mean, _group_mean(squares, groups)


def _group_mean(row_means: list[mx.array], groups: int) -> mx.array:
    """The mean over all rows and each group's channels, of bands of [batch, rows, channels]."""
    rows = mx.concatenate(row_means, axis=1)
    return rows.mean(axis=1).reshape(rows.shape[0], 1, 1, groups, -1).mean(axis=-1)


def convolve(
    x: mx.array,
    weight: mx.array,
    stride: int = 1,
    rows_padding: tuple[int, int] = (0, 0),
    columns_padding: tuple[int, int] = (0, 0),
) -> mx.array:
    """x [batch, height, width, in] with a weight [out, in, height, width] → [batch, height', width', out].

    The paddings are zeros before and after the picture.
    """
    if weight.shape[2:] == (1, 1):
        return x @ weight[:, :, 0, 0].T
    weight = mx.contiguous(weight.transpose(0, 2, 3, 1))  # once, not for every band
    if on_cpu():
        return _convolve_by_bands(x, weight, stride, rows_padding, columns_padding)
    (top, bottom), (left, right) = rows_padding, columns_padding
    return mx.conv_general(x, weight, stride, padding=([top, left], [bottom, right]))


def convolve_doubled(x: mx.array, weight: mx.array) -> mx.array:
    """A 3×3 convolution of x with every pixel repeated along both sides, as four 2×2 convolutions of x itself.

    Where the window of an even output row lies over rows (i − 1, i, i) of x, and that of an odd one over (i, i, i + 1),
    the kernel rows that meet the same row of x can be summed beforehand; columns likewise. That is 4/9 of the work,
    and the repeated picture, four times as large as x, is never there.
    """
    batch, height, width, _ = x.shape
    weight = weight.astype(mx.float32)
    pad = ((1, 0), (0, 1))  # of the even and of the odd rows and columns
    rows = []
    for row in (0, 1):
        halves = _sum_pairs(weight, 2, row)
        kernels = [_sum_pairs(halves, 3, column).astype(x.dtype) for column in (0, 1)]
        columns = [convolve(x, kernel, 1, pad[row], pad[column]) for column, kernel in enumerate(kernels)]
        rows.append(mx.concatenate(columns, axis=3))  # even and odd columns side by side
        mx.eval(rows[-1])
    return mx.concatenate(rows, axis=2).reshape(batch, 2 * height, 2 * width, -1)


def _sum_pairs(weight: mx.array, axis: int, phase: int) -> mx.array:
    """Three kernel rows (or columns) as two: the last two summed for even outputs, the first two for odd ones."""
    first, middle, last = mx.split(weight, 3, axis=axis)
    return mx.concatenate([first + middle, last] if phase else [first, middle + last], axis=axis)


def _convolve_by_bands(
    x: mx.array,
    weight: mx.array,
    stride: int,
    rows_padding: tuple[int, int],
    columns_padding: tuple[int, int],
) -> mx.array:
    """The same with a weight [out, height, width, in], one band of rows after the other.

    The CPU backend copies every window of its input before it multiplies. Bands keep these copies in the cache, and
    their memory bounded: 64 → 64 channels at 256×256 take 115 ms instead of 221 (one core).
    """
    kernel_height, height = weight.shape[1], x.shape[1]
    above, below = rows_padding
    rows = (above + height + below - kernel_height) // stride + 1
    row_bytes = x.itemsize * x.shape[2] * math.prod(weight.shape[1:]) // stride
    step = max(1, CPU_WINDOWS_BYTES // row_bytes)
    bands = []
    for first in range(0, rows, step):
        top = first * stride - above
        bottom = (min(first + step, rows) - 1) * stride - above + kernel_height
        before, after = max(0, -top), max(0, bottom - height)
        padding = ([before, columns_padding[0]], [after, columns_padding[1]])
        bands.append(mx.conv_general(x[:, max(0, top) : bottom], weight, stride, padding=padding))
        mx.eval(bands[-1])  # or the windows of all bands would be allocated ahead
    return mx.concatenate(bands, axis=1)


@fused
def _affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return x * scale + shift
