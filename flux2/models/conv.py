"""Convolution and group normalisation of pictures by bands of rows, with bounded temporaries."""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from collections.abc import Callable

from flux2.backend.cpu.convolution import convolve_on_cpu
from flux2.backend.cpu.silu import silu_on_cpu
from flux2.backend.mlx import mx, nn, on_cpu
from flux2.models.bands import Bands, split_rows
from flux2.models.evaluation import evaluate_next
from flux2.models.layers import fused

Pointwise = Callable[[mx.array], mx.array]
"""What is done to each pixel of [batch, rows, width, channels]."""
RowsOf = Callable[[int, int], mx.array]
"""Computes the rows from the first to before the last."""


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

    def __call__(self, x: Bands, prepare: Pointwise | None = None) -> Bands:
        """The whole convolution of x, each pixel of which is sent through `prepare` first; x is used up."""
        convolved, out = self.over(x, prepare), Bands()
        height = (x.height + sum(self._padding) - self.weight.shape[2]) // self._stride + 1
        row_bytes = x.batch * x.width * x.dtype.size * max(self._stride * x.channels, self.weight.shape[0])
        for first, last in split_rows(height, row_bytes):
            out.append(convolved(first, last))
            x.release(last * self._stride - self._padding[0])
        return out

    def over(self, x: Bands, prepare: Pointwise | None = None) -> RowsOf:
        """The convolution of x as a function that computes some rows; it reads x no further than they need."""
        kernel = _channels_last(self.weight)
        (before, _), stride = self._padding, self._stride

        at_once = self._padding if on_cpu() else (0, 0)  # zeros at the sides, where rows of them are put, too
        later = (0, 0) if on_cpu() else self._padding

        def window(first: int, last: int) -> mx.array:
            top, bottom = first * stride - before, (last - 1) * stride - before + kernel.shape[1]
            above, below = max(0, -top), max(0, bottom - x.height)
            rows = x.rows(top + above, bottom - below)
            if prepare is not None:
                rows = prepare(rows)
            return _pad(rows, (above, below), at_once)  # after it was prepared: it is zeros that are convolved

        def convolved(first: int, last: int) -> mx.array:
            return convolve(window(first, last), kernel, self.bias, stride, later)

        return convolved


class Upsample(nn.Module):
    """Double both sides, repeating every pixel, and convolve: as four 2×2 convolutions of x itself.

    Where the window of an even output row lies over rows (i − 1, i, i) of x, and that of an odd one over (i, i, i + 1),
    the kernel rows that meet the same row of x can be summed beforehand; columns likewise. That is 4/9 of the work,
    and the repeated picture, four times as large as x, is never there.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Conv2d(channels, channels)

    def __call__(self, x: Bands) -> Bands:
        out = Bands()
        weight = self.conv.weight.astype(mx.float32)
        kernels = [
            [_channels_last(_sum_pairs(halves, 3, column)).astype(x.dtype) for column in (0, 1)]
            for halves in (_sum_pairs(weight, 2, row) for row in (0, 1))
        ]
        paddings = ((1, 0), (0, 1))  # of the even and of the odd columns
        for first, last in x.split(4 * x.channels):
            rows: list[mx.array] = []
            for row in (0, 1):
                window = x.rows(first - 1 + row, last + row)
                columns = [
                    convolve(window, kernels[row][column], self.conv.bias, 1, paddings[column]) for column in (0, 1)
                ]
                rows.append(mx.concatenate(columns, axis=3))  # even and odd ones
                evaluate_next(rows[-1], None)  # then the columns are gone
            doubled = mx.concatenate(rows, axis=2)
            out.append(doubled.reshape(x.batch, 2 * (last - first), 2 * x.width, -1))
            x.release(last - 1)
        return out


class GroupNorm(nn.Module):
    """Normalise groups of channels over the whole picture; the statistics are float32 (PyTorch's GroupNorm)."""

    def __init__(self, groups: int, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self._groups, self._eps = groups, eps
        self.weight = mx.ones((channels,))
        self.bias = mx.zeros((channels,))

    def over(self, x: Bands) -> Pointwise:
        """Normalises any rows of x, by the statistics of all of it."""
        scale, shift = self._scale_and_shift(x)
        return lambda rows: _affine(rows, scale, shift).astype(rows.dtype)

    def silu_over(self, x: Bands) -> Pointwise:
        """Normalisation of x and silu of it, as a function of some rows."""
        scale, shift = self._scale_and_shift(x)
        return lambda rows: _affine_silu(rows, scale, shift)

    def _scale_and_shift(self, x: Bands) -> tuple[mx.array, mx.array]:
        """The normalisation as one multiplication and one addition per channel, float32 [batch, 1, 1, channels]."""
        mean, variance = group_statistics(x, self._groups)
        share = x.channels // self._groups
        mean, deviation = (mx.repeat(part, share, axis=-1) for part in (mean, mx.rsqrt(variance + self._eps)))
        scale = deviation * self.weight.astype(mx.float32)
        return scale, self.bias.astype(mx.float32) - mean * scale


def group_statistics(x: Bands, groups: int) -> tuple[mx.array, mx.array]:
    """Mean and variance of each group of channels over the whole picture, float32 [batch, 1, 1, groups].

    Each band's mean and its variance about that mean are combined at the end (Chan, Golub and LeVeque, 1979), so that
    the picture is read once and no precision is lost, however far the mean is from zero or the bands' from each other.
    """
    means: list[mx.array] = []
    variances: list[mx.array] = []
    shares: list[float] = []
    for first, last in split_rows(x.height, 4 * x.batch * x.width * x.channels):
        rows = x.rows(first, last).astype(mx.float32)
        means.append(_mean_of_pixels(rows))
        variances.append(_mean_of_pixels(mx.square(rows - means[-1])))
        shares.append((last - first) / x.height)
        evaluate_next(variances[-1], variances[-2] if len(variances) > 1 else None)
    share, each_mean = mx.array(shares)[:, None, None], mx.concatenate(means, axis=1)
    mean = (share * each_mean).sum(axis=1, keepdims=True)
    variance = mx.concatenate(variances, axis=1) + mx.square(each_mean - mean)
    variance = (share * variance).sum(axis=1, keepdims=True)

    each_mean, variance = (part.reshape(x.batch, 1, 1, groups, -1) for part in (mean, variance))
    mean = each_mean.mean(axis=-1)
    return mean, (variance + mx.square(each_mean - mean[..., None])).mean(axis=-1)


def _mean_of_pixels(rows: mx.array) -> mx.array:
    """[batch, 1, 1, channels]; each row's first, as a sum over millions of pixels would lose precision."""
    return rows.mean(axis=2, keepdims=True).mean(axis=1, keepdims=True)


def _channels_last(weight: mx.array) -> mx.array:
    return mx.contiguous(weight.transpose(0, 2, 3, 1))


def convolve(
    window: mx.array, kernel: mx.array, bias: mx.array, stride: int, columns_padding: tuple[int, int]
) -> mx.array:
    """[batch, rows, width, in] with a kernel [out, height, width, in]; zeros are put at the sides only."""
    if kernel.shape[1:3] == (1, 1):
        return window @ kernel[:, 0, 0].T + bias
    if on_cpu() and stride == 1 and window.dtype == kernel.dtype == mx.float32:
        window = _pad(window, (0, 0), columns_padding)
        mx.eval(window)  # then what it was made of can go
        return convolve_on_cpu(window, kernel, bias)
    left, right = columns_padding
    return mx.conv_general(window, kernel, stride, padding=([0, left], [0, right])) + bias


def _pad(x: mx.array, rows: tuple[int, int], columns: tuple[int, int]) -> mx.array:
    """Rows with so many rows of zeros above and below, and so many columns of them at either side."""
    return mx.pad(x, [(0, 0), rows, columns, (0, 0)]) if any((*rows, *columns)) else x


def _sum_pairs(weight: mx.array, axis: int, phase: int) -> mx.array:
    """Three kernel rows (or columns) as two: the last two summed for even outputs, the first two for odd ones."""
    first, middle, last = mx.split(weight, 3, axis=axis)
    return mx.concatenate([first + middle, last] if phase else [first, middle + last], axis=axis)


def _affine_silu(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    """Rows with a scale and a shift per channel of each picture, float32 [batch, 1, 1, channels]."""
    if not on_cpu():
        return _fused_affine_silu(x, scale, shift)
    pictures = (mx.split(part, x.shape[0]) for part in (x, scale, shift))
    made = [silu_on_cpu(rows, affine=(factor, summand)) for rows, factor, summand in zip(*pictures, strict=True)]
    return made[0] if len(made) == 1 else mx.concatenate(made)


@fused
def _affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return x * scale + shift


@fused
def _fused_affine_silu(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    normalised = x * scale + shift
    return (normalised * mx.sigmoid(normalised)).astype(x.dtype)
