"""The header of a GGUF file: read without MLX and NumPy, and compared with the file's length.

The format: "GGUF", a version, the numbers of tensors and of facts, the facts (key, type, value), then name, dimensions
(the innermost first), type and offset of each tensor, then, aligned, their data. The package's own reader takes the
counts on trust, so that a damaged one keeps it busy for ever, and builds an array for every word of a vocabulary.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from flux2.checkpoint.missing import explain_missing
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import CheckpointError

MAGIC = b"GGUF"
VERSIONS = (2, 3)


_MOST_TENSORS = 1 << 16
_MOST_FACTS = 1 << 16
_MOST_BYTES = 256 << 20
"""Bytes of the longest header: the largest vocabularies have some 20 MB."""
_MOST_DIMENSIONS = 4
_LONGEST_NAME = 256  # bytes
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""`struct`'s letters of the facts' types."""
_STRING, _LIST = 8, 9


@dataclass(frozen=True, slots=True)
class GgufTensor:
    """What the header says of one tensor."""

    type: str
    """ggml's name of it: "Q4_K", "F32"…"""
    shape: tuple[int, ...]
    """Its numbers' shape in PyTorch's order: a Linear is [outputs, inputs]."""
    row_bytes: int
    """Bytes of one row, all blocks of its numbers."""
    offset: int
    """Offset of its first byte in the file."""
    nbytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What stands before the data."""

    architecture: str
    """What the file calls its network: "flux", "qwen3"…; "" where it says nothing."""
    tensors: dict[str, GgufTensor]


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF file does, whatever it is called."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def read_gguf_header(path: Path) -> GgufHeader:
    """The header, after checking that the file holds what it says.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong with it, and the remedy.
    """
    try:
        if not path.is_file():
            raise CheckpointError(explain_missing(path))
        stat = path.stat()
        return _read(path, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror or error}); check the disk and the path."
        ) from error


@lru_cache(maxsize=16)
def _read(path: Path, size: int, _changed: int) -> GgufHeader:
    try:
        with path.open("rb") as file:
            header = _Reader(file).header(size)
    except (EOFError, struct.error) as error:
        raise CheckpointError(
            f"{path} is cut short inside its header ({size:,} bytes); {fetch_again(path)}."
        ) from error
    except _VersionError as error:
        raise CheckpointError(
            f"{path} is a GGUF file of {error}; use one that llama.cpp's present tools wrote."
        ) from error
    except ValueError as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); {fetch_again(path)}.") from error
    end = max((tensor.offset + tensor.nbytes for tensor in header.tensors.values()), default=0)
    if end > size:
        raise CheckpointError(
            f"{path} is cut short: {size:,} bytes where its header says {end:,}; {fetch_again(path)}."
        )
    return header


class _VersionError(Exception):
    """A version of the format that is not read."""

    def __init__(self, version: int) -> None:
        swapped = int.from_bytes(version.to_bytes(4, "little"), "big") in VERSIONS
        read = " and ".join(map(str, VERSIONS))
        super().__init__("big-endian machines" if swapped else f"version {version}, and {read} are read")


class _Reader:
    """Takes a header apart from its beginning on; raises ValueError or EOFError where that can't be."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def header(self, size: int) -> GgufHeader:
        if self._bytes(len(MAGIC)) != MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._number("I")
        if version not in VERSIONS:
            raise _VersionError(version)
        tensors, facts = self._number("Q"), self._number("Q")
        if tensors > min(_MOST_TENSORS, size) or facts > min(_MOST_FACTS, size):
            raise ValueError(f"it speaks of {tensors:,} tensors and {facts:,} facts")
        told = dict(self._fact() for _ in range(facts))
        places = list(self._places(tensors))
        alignment = told.get("general.alignment", 32)
        if type(alignment) is not int or alignment < 1 or alignment & (alignment - 1):
            raise ValueError(f"its alignment is {alignment!r}")
        begin = -(-self._file.tell() // alignment) * alignment
        found = {name: _tensor(name, kind, shape, begin + offset) for name, kind, shape, offset in places}
        if len(found) != len(places):
            raise ValueError("it lists a name twice")
        architecture = told.get("general.architecture")
        return GgufHeader(architecture if isinstance(architecture, str) else "", found)

    def _places(self, count: int) -> Iterator[tuple[str, int, tuple[int, ...], int]]:
        for _ in range(count):
            name = self._name()
            dimensions = self._number("I")
            if dimensions > _MOST_DIMENSIONS:
                raise ValueError(f"tensor {name} has {dimensions} dimensions")
            shape = tuple(self._number("Q") for _ in range(dimensions))[::-1]
            yield name, self._number("I"), shape, self._number("Q")

    def _fact(self) -> tuple[str, object]:
        """Key and value; of a list nothing is kept."""
        return self._name(), self._value(self._number("I"))

    def _value(self, kind: int) -> object:
        if kind in _SCALARS:
            return self._number(_SCALARS[kind])
        if kind == _STRING:
            return self._text()
        if kind != _LIST:
            raise ValueError(f"it has a fact of the unknown type {kind}")
        inner, count = self._number("I"), self._number("Q")
        if inner in _SCALARS:
            self._skip(count * struct.calcsize("<" + _SCALARS[inner]))
        elif inner == _STRING and count <= _MOST_BYTES:
            for _ in range(count):
                self._skip(self._number("Q"))
        else:
            raise ValueError("it has a list that can't be read")
        return None

    def _text(self) -> str:
        return self._bytes(self._number("Q")).decode("utf-8", "replace")

    def _name(self) -> str:
        """The name of a tensor or a fact."""
        length = self._number("Q")
        if length > _LONGEST_NAME:
            raise ValueError(f"it has a name of {length:,} bytes")
        name = self._bytes(length).decode("utf-8", "replace")
        if not name.isprintable():
            raise ValueError("it has a name with control characters")
        return name

    def _number(self, letter: str) -> int:
        (value,) = struct.unpack("<" + letter, self._bytes(struct.calcsize("<" + letter)))
        return value  # type: ignore[no-any-return]

    def _skip(self, count: int) -> None:
        if self._file.tell() + count > _MOST_BYTES:
            raise ValueError("it is longer than any header")
        self._file.seek(count, 1)

    def _bytes(self, count: int) -> bytes:
        if self._file.tell() + count > _MOST_BYTES:
            raise ValueError("it is longer than any header")
        found = self._file.read(count)
        if len(found) < count:
            raise EOFError
        return found


def _tensor(name: str, kind: int, shape: tuple[int, ...], offset: int) -> GgufTensor:
    from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType  # here, for it takes a while

    try:
        type_ = GGMLQuantizationType(kind)
    except ValueError as error:
        raise ValueError(f"tensor {name} is of the unknown type {kind}") from error
    numbers, nbytes = GGML_QUANT_SIZES[type_]
    inputs = shape[-1] if shape else 1
    if inputs % numbers:
        raise ValueError(f"the rows of tensor {name} are no whole blocks of {type_.name}")
    row = inputs // numbers * nbytes
    return GgufTensor(type_.name, shape, row, offset, math.prod(shape[:-1]) * row)
