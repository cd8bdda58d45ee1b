"""Convolution on the CPU backend, straight from the picture: no window of it is ever copied.

MLX copies every window of its input before it multiplies. But where channels lie side by side, the pixels of a kernel's
row are one run of numbers, and every `kernel width`-th run follows the last: so each row of the kernel is as many
matrix products as it is wide, of views of the picture, each adding to its own share of the result's pixels.
"""

from __future__ import annotations

from itertools import product

import numpy as np

from flux2.backend.blas import add_product
from flux2.backend.cpu.blank_memory import blank
from flux2.backend.mlx import mx


def convolve_on_cpu(padded: mx.array, kernel: mx.array, bias: mx.array) -> mx.array:
    """float32 [batch, rows, width, in] with a kernel [out, height, width, in], and bias [out]; evaluated.

    The result has as many fewer rows and columns as the kernel reaches beyond a pixel.
    """
    outputs, high, wide, channels = kernel.shape
    batch, height, width, _ = padded.shape
    rows = height - high + 1
    made = blank(4 * batch * rows * width * outputs).view(mx.float32).reshape(batch, rows * width, outputs)
    padded = mx.contiguous(padded)
    mx.eval(padded, kernel, bias, made)
    pixels, sums = np.asarray(padded).reshape(batch, -1, channels), np.asarray(made)
    weights = np.asarray(kernel).reshape(outputs, high, wide * channels)
    sums[...] = np.asarray(bias)
    count = rows * width - wide + 1
    for picture, row, column in product(range(batch), range(high), range(wide)):
        some, begin = sums[picture, column:count:wide], row * width + column
        runs = pixels[picture, begin : begin + len(some) * wide].reshape(len(some), wide * channels)
        add_product(some, runs, weights[:, row])
    return made.reshape(batch, rows, width, outputs)[:, :, : width - wide + 1]  # the rest began too near a row's end
