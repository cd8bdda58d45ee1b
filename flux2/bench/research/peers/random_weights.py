"""Weights nobody trained, the same ones for everybody: made from a tensor's name and shape, one tensor at a time.

Zeros would be multiplied faster than numbers are (GPUs draw less power on them), and could not be compared.
"""

# MLX brings no types:
# mypy: no-warn-return-any

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from flux2.architecture.shapes import Shapes
from flux2.backend.mlx import mx


def normal(name: str, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Standard normal numbers that depend on the name alone."""
    return np.array(mx.random.normal(shape, key=_key(name)))


def random_weights(shapes: Shapes) -> Iterator[tuple[str, mx.array]]:
    """Every tensor in turn, in bfloat16: matrices and convolutions that keep the scale of what goes through them."""
    for name, shape in shapes.items():
        yield name, random_weight(name, shape)


def random_weight(name: str, shape: tuple[int, ...]) -> mx.array:
    """One of them."""
    numbers = mx.random.normal(shape, key=_key(name), dtype=mx.float32)
    if name.endswith("running_var"):
        numbers = mx.abs(numbers) + 0.5
    elif len(shape) > 1:
        numbers = numbers / math.sqrt(math.prod(shape[1:]))
    elif name.endswith("weight"):
        numbers = 1 + 0.1 * numbers
    else:
        numbers = 0.1 * numbers
    return numbers.astype(mx.bfloat16)


def _key(name: str) -> mx.array:
    return mx.random.key(zlib.crc32(name.encode()))
