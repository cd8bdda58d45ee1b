"""One safetensors file: its header checked before anything is trusted, its tensors read one at a time.

MLX's own reader returns garbage without a word where a file is shorter than its header says or a read fails.
Here the header is checked against the file's size, and every read is either complete or an error.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.checkpoint.header import METADATA, read_json_header
from flux2.checkpoint.remedies import fetch_again, fetch_anew
from flux2.cpu.blank_memory import blank
from flux2.errors import CheckpointError
from flux2.mlx_backend import mx

OnBytes = Callable[[int], None]
"""Told how many bytes were read since the last call; may raise, to stop the reading."""

_PIECE = 4 * 1024**2  # bytes read at a time, between which progress is told and a cancel is heard
_READERS = 8
"""Threads that read the pieces of a large tensor: a solid-state disk answers several requests at a time, and new memory
is given out page by page. 7.2 GiB out of the page cache took 2.2 s with four and pieces of 16 MiB, 1.6 s with these
(16 cores)."""

_MLX_DTYPES = {
    "BF16": mx.bfloat16,
    "F16": mx.float16,
    "F32": mx.float32,
    "U8": mx.uint8,
    "I8": mx.int8,
    "U16": mx.uint16,
    "I16": mx.int16,
    "U32": mx.uint32,
    "I32": mx.int32,
    "U64": mx.uint64,
    "I64": mx.int64,
    "BOOL": mx.bool_,
}
_ITEM_BYTES = {name: dtype.size for name, dtype in _MLX_DTYPES.items()} | {"F64": 8, "F8_E4M3": 1, "F8_E5M2": 1}


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix="reading")


def item_bytes(dtype: str) -> int:
    """Of one number of a type, by the format's name of it."""
    return _ITEM_BYTES[dtype]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """What a header says of one tensor."""

    name: str
    path: Path
    dtype: str
    """The format's name of it: "BF16", "F32"…"""
    shape: tuple[int, ...]
    offset: int
    """Of its first byte in the file."""
    nbytes: int

    @property
    def mlx_dtype(self) -> mx.Dtype:
        """Raises CheckpointError where MLX has no such type."""
        if self.dtype not in _MLX_DTYPES:
            raise CheckpointError(
                f"{self.path}: tensor {self.name} is {self.dtype}, which MLX can't compute with; "
                "use a bfloat16, float16 or float32 checkpoint."
            )
        return _MLX_DTYPES[self.dtype]


def read_header(path: Path) -> dict[str, TensorInfo]:
    """Every tensor of the file, by name, after checking that header and file agree.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong with it, and the remedy.
    """
    header = read_json_header(path)
    try:
        tensors = {
            name: _tensor(path, name, entry, header.data_start)
            for name, entry in header.entries.items()
            if name != METADATA
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({_sentence(error)}); {fetch_anew(path)}.") from error
    _check_extent(path, header.size, header.data_start, tensors)
    return tensors


def read_metadata(path: Path) -> dict[str, Any]:
    """What the file says of itself beside its tensors; empty where it says nothing.

    Raises:
        CheckpointError: if it is no safetensors file.
    """
    metadata = read_json_header(path).entries.get(METADATA)
    return metadata if isinstance(metadata, dict) else {}


def read_tensor(info: TensorInfo, on_bytes: OnBytes | None = None) -> mx.array:
    """Read one tensor into an array of its own, without a second copy of it anywhere.

    Args:
        on_bytes: told how many bytes were read, every 4 MiB and at the end; may raise to stop the reading.

    Raises:
        CheckpointError: if the file can't be read or ends early.
    """
    buffer = TensorBuffer(info)
    buffer.fill(on_bytes)
    return buffer.array()


def read_rows(info: TensorInfo, rows: npt.NDArray[np.integer[Any]]) -> mx.array:
    """Read only these rows of a tensor, [rows, …]; a row that is named several times is read once.

    Raises:
        CheckpointError: if the file can't be read or ends early.
        IndexError: if there is no such row.
    """
    wanted, where = np.unique(rows, return_inverse=True)
    if wanted[0] < 0 or wanted[-1] >= info.shape[0]:
        raise IndexError(f"{info.name} has rows 0 to {info.shape[0] - 1}; asked for {wanted[0]} to {wanted[-1]}")
    row_bytes = info.nbytes // info.shape[0]
    offsets = [info.offset + int(row) * row_bytes for row in wanted]
    found = replace(info, shape=(len(wanted), *info.shape[1:]), nbytes=len(wanted) * row_bytes)
    buffer = TensorBuffer(found, offsets)
    buffer.fill()
    return buffer.array()[mx.array(where.reshape(np.shape(rows)))]


class TensorBuffer:
    """Memory for one tensor, allocated at once; filled later, on any thread (MLX itself stays on the caller's)."""

    def __init__(self, info: TensorInfo, offsets: Sequence[int] | None = None) -> None:
        """`offsets` are where in the file the tensor's equally long pieces begin; by default it lies in one."""
        self._info = info
        self._dtype = info.mlx_dtype
        self._offsets = (info.offset,) if offsets is None else offsets
        # NumPy shares memory with an evaluated MLX array but knows no bfloat16: bytes, viewed as the type at the end.
        self._storage = blank(info.nbytes)

    def fill(self, on_bytes: OnBytes | None = None) -> None:
        """Read the bytes; see `read_tensor`."""
        for count in self._read():
            if on_bytes:
                on_bytes(count)  # outside of the reading: an OSError of its own is not the disk's

    def _read(self) -> Iterator[int]:
        """Read all, telling the length of each piece."""
        pieces = list(self._pieces())
        try:
            with self._info.path.open("rb", buffering=0) as file:
                if len(pieces) < 2:
                    yield from (_read_piece(self._info, file, offset, [view]) for offset, view in pieces)
                else:
                    yield from _read_at_once(self._info, file, pieces)
        except OSError as error:
            raise CheckpointError(
                f"{self._info.path}: reading tensor {self._info.name} failed ({error.strerror or error}); "
                "check the disk it is on."
            ) from error

    def _pieces(self) -> Iterator[tuple[int, memoryview]]:
        """Where in the file each piece lies, and the memory it goes to."""
        if not self._info.nbytes:
            return
        view = np.asarray(self._storage).data
        length = self._info.nbytes // len(self._offsets)
        for number, offset in enumerate(self._offsets):
            for done in range(0, length, _PIECE):
                begin = number * length + done
                yield offset + done, view[begin : begin + min(_PIECE, length - done)]

    def array(self) -> mx.array:
        """The tensor, once it was filled."""
        if not self._info.nbytes:
            return mx.zeros(self._info.shape, dtype=self._dtype)
        return self._storage.view(self._dtype).reshape(self._info.shape)


def _read_at_once(info: TensorInfo, file: FileIO, pieces: Sequence[tuple[int, memoryview]]) -> Iterator[int]:
    """Several pieces at a time."""
    readings = [_readers().submit(_read_piece, info, file, offset, [view]) for offset, view in pieces]
    try:
        for reading in readings:
            yield reading.result()
    finally:  # nobody may write to this memory, or read from this file, after it
        for reading in readings:
            reading.cancel()
        wait(readings)


def _read_piece(info: TensorInfo, file: FileIO, offset: int, handed_over: list[memoryview]) -> int:
    """Fill the one view in the list, which is taken out of it: threads keep a task's arguments for a while after it."""
    view, done = handed_over.pop(), 0
    while done < len(view):
        count = os.preadv(file.fileno(), [view[done:]], offset + done)
        if not count:
            raise CheckpointError(f"{info.path} ends inside tensor {info.name}; {fetch_again(info.path)}.")
        done += count
    return done


def _tensor(path: Path, name: str, entry: dict[str, Any], data_start: int) -> TensorInfo:
    dtype, shape, (begin, end) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if not all(type(number) is int and number >= 0 for number in (*shape, begin, end)):
        raise ValueError(f"{name} has a shape or offset that is not a whole number")
    if dtype not in _ITEM_BYTES:
        raise ValueError(f"{name} has the unknown type {dtype}")
    nbytes = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - begin != nbytes:
        raise ValueError(f"{name} is {dtype} {list(shape)} = {nbytes:,} bytes, but its offsets span {end - begin:,}")
    return TensorInfo(name, path, dtype, shape, data_start + begin, nbytes)


def _check_extent(path: Path, size: int, data_start: int, tensors: dict[str, TensorInfo]) -> None:
    """The tensors must fill the file without gap, overlap or rest."""
    position = data_start
    for info in sorted(tensors.values(), key=lambda info: (info.offset, info.nbytes)):
        if info.offset != position:
            raise CheckpointError(
                f"{path}: tensor {info.name} overlaps another one or leaves a gap; {fetch_anew(path)}."
            )
        position += info.nbytes
    if size != position:
        state = "is cut short" if size < position else "has bytes left over"
        raise CheckpointError(
            f"{path} {state}: {size:,} bytes where its header says {position:,}; {fetch_again(path)}."
        )


def _sentence(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)
