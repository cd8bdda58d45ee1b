"""A tensor as files hold it: its numbers, or codes and scales that they are made of, a band of rows at a time.

Whatever the way of writing weights down, a network's plan is a list of these: what has to be read for each, in which
shape and type it comes out, and how.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import OnBytes, TensorInfo, item_bytes, mlx_dtype, read_rows, read_tensor

_BAND_NUMBERS = 1 << 22
"""Numbers that are decoded at a time: in float32, as most of it is computed, 16 MiB."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A way in which numbers are written down as something else."""

    dtype: str
    """Type of the numbers that come out, by the format's name of it."""
    decode: Callable[..., mx.array]
    """Numbers [rows, …] from the stored tensors, of which each that has a row per output comes as these rows."""
    affine_bits: int = 0
    """Bits of MLX's affine codes in groups of 64, whose codes, scales and biases the parts are; 0 for another way."""


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """One tensor of a network, and what files hold of it."""

    name: str
    shape: tuple[int, ...]
    parts: tuple[TensorInfo, ...]
    """What is read for it, in the order in which `decode` takes it."""
    encoding: Encoding | None = None
    """None for one part that is the numbers themselves."""
    arranged: Callable[[mx.array], mx.array] | None = None
    """What brings the numbers into the network's order, where the files have them in another one."""

    @classmethod
    def plain(cls, info: TensorInfo) -> StoredTensor:
        """A tensor that a file holds as it is."""
        return cls(info.name, info.shape, (info,))

    @property
    def path(self) -> Path:
        """File of the first part, for sentences about it."""
        return self.parts[0].path

    @property
    def offset(self) -> int:
        """Offset of the first part's first byte in its file."""
        return self.parts[0].offset

    @property
    def dtype(self) -> str:
        """Type of the numbers, by the format's name of it."""
        return self.encoding.dtype if self.encoding else self.parts[0].dtype

    @property
    def affine_bits(self) -> int:
        """Bits of the parts, where these are what MLX would compute with as they are; else 0."""
        return self.encoding.affine_bits if self.encoding and not self.arranged else 0

    @property
    def nbytes(self) -> int:
        """Bytes to be read."""
        return sum(part.nbytes for part in self.parts)

    @property
    def decoded_bytes(self) -> int:
        """Bytes of the numbers."""
        return math.prod(self.shape) * item_bytes(self.dtype)

    def rows(self, begin: int, end: int) -> StoredTensor:
        """The tensor of some of its rows, as if the file held no others."""
        parts = tuple(_rows_of(part, begin, end) if self._is_by_rows(part.shape) else part for part in self.parts)
        return replace(self, shape=(end - begin, *self.shape[1:]), parts=parts)

    def reshaped(self, shape: tuple[int, ...]) -> StoredTensor:
        """The numbers of a plain tensor in another shape: a matrix that was kept as a convolution of one pixel."""
        assert self.encoding is None
        return replace(self, shape=shape, parts=(replace(self.parts[0], shape=shape),))

    def transposed(self, axes: tuple[int, ...]) -> StoredTensor:
        """The tensor with its axes in another order."""
        shape = tuple(self.shape[axis] for axis in axes)
        return replace(self, shape=shape, arranged=lambda array: mx.contiguous(array.transpose(axes)))

    def with_halves_swapped(self) -> StoredTensor:
        """The tensor with the upper half of its rows below the lower one."""
        half = self.shape[0] // 2
        return replace(self, arranged=lambda array: mx.concatenate([array[half:], array[:half]]))

    def decoded(self, tensors: list[mx.array]) -> mx.array:
        """The numbers, of the parts that were read, whose list is emptied."""
        array = tensors.pop() if self.encoding is None else self._by_bands(tensors, self.encoding)
        return self.arranged(array) if self.arranged else array

    def read(self, on_bytes: OnBytes | None = None) -> mx.array:
        """The numbers, whatever they are stored as.

        Raises:
            CheckpointError: if the file can't be read or ends early.
        """
        return self.decoded([read_tensor(part, on_bytes) for part in self.parts])

    def read_rows(self, rows: npt.NDArray[np.integer[Any]]) -> mx.array:
        """The numbers of these rows alone, [rows, …]; a row that is named several times is read once.

        Raises:
            CheckpointError: if the file can't be read or ends early.
            IndexError: if there is no such row.
        """
        assert self.arranged is None
        flat = np.reshape(rows, -1)
        tensors = [read_rows(part, flat) if self._is_by_rows(part.shape) else read_tensor(part) for part in self.parts]
        numbers = self.encoding.decode(*tensors) if self.encoding else tensors[0]
        return numbers.reshape(*np.shape(rows), *self.shape[1:])

    def _is_by_rows(self, shape: tuple[int, ...]) -> bool:
        """Whether a part has a row for each row of numbers; else it is of all of them."""
        return bool(shape) and shape[0] == self.shape[0]

    def _by_bands(self, tensors: list[mx.array], encoding: Encoding) -> mx.array:
        count = max(1, _BAND_NUMBERS * self.shape[0] // max(1, math.prod(self.shape)))
        if count >= self.shape[0]:
            array = encoding.decode(*tensors)
            mx.eval(array)
        else:
            array = mx.zeros(self.shape, mlx_dtype(encoding.dtype))
            for top in range(0, self.shape[0], count):
                band = (part[top : top + count] if self._is_by_rows(part.shape) else part for part in tensors)
                array[top : top + count] = encoding.decode(*band)
                mx.eval(array)
        tensors.clear()
        return array


def _rows_of(info: TensorInfo, begin: int, end: int) -> TensorInfo:
    row = info.nbytes // info.shape[0]
    return replace(
        info,
        shape=(end - begin, *info.shape[1:]),
        offset=info.offset + begin * row,
        nbytes=(end - begin) * row,
        digest="",
    )
