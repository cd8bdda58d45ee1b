"""One safetensors file: its header checked before anything is trusted, its tensors read one at a time.

MLX's own reader returns garbage without a word where a file is shorter than its header says or a read fails.
Here the header is checked against the file's size, and every read is either complete or an error.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.backend.cpu.blank_memory import blank
from flux2.backend.mlx import mx
from flux2.checkpoint.header import METADATA, read_json_header
from flux2.checkpoint.remedies import fetch_again, fetch_anew
from flux2.disk.digest import digest
from flux2.errors import CheckpointError

OnBytes = Callable[[int], None]
"""Told how many bytes were read since the last call; may raise, to stop the reading."""

PIECE = 4 * 1024**2  # bytes read at a time, between which progress is told and a cancel is heard
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
_ITEM_BYTES = {name: dtype.size for name, dtype in _MLX_DTYPES.items()} | {
    "F64": 8,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "F8_E8M0": 1,
}
DIGESTS = "flux2_digests"
"""Where, in the metadata of files of our own, a JSON object holds each tensor's `tensor_digest` by its name."""
_checked: set[TensorInfo] = set()
"""Large tensors that were found whole: what is read in every step is checked once in a process."""


@cache
def _readers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_READERS, thread_name_prefix="reading")


def dtype_name(dtype: mx.Dtype) -> str:
    """The format's name of one of MLX's types."""
    return next(name for name, known in _MLX_DTYPES.items() if known == dtype)


def mlx_dtype(dtype: str) -> mx.Dtype:
    """MLX's type of the format's name of it; KeyError where MLX has none."""
    return _MLX_DTYPES[dtype]


def item_bytes(dtype: str) -> int:
    """Bytes of one number of a type, by the format's name of it."""
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
    """Offset of its first byte in the file."""
    nbytes: int
    digest: str = ""
    """`tensor_digest` of its bytes, where this program wrote the file; every reading is checked against it."""

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
        digests = _digests(header.entries.get(METADATA))
        tensors = {
            name: replace(_tensor(path, name, entry, header.data_start), digest=digests.get(name, ""))
            for name, entry in header.entries.items()
            if name != METADATA
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} has a damaged header ({_sentence(error)}); {fetch_anew(path)}.") from error
    _check_extent(path, header.size, header.data_start, tensors)
    return tensors


def _digests(metadata: object) -> dict[str, str]:
    """Digests by tensor; one that is damaged fits no tensor."""
    said = metadata.get(DIGESTS) if isinstance(metadata, dict) else None
    if not isinstance(said, str):
        return {}
    found = json.loads(said)
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def tensor_digest(dtype: str, shape: Sequence[int], pieces: Iterable[str]) -> str:
    """The digest of a tensor, for its type, its shape, and the digests of its pieces of `PIECE` bytes."""
    return digest(json.dumps([dtype, list(shape), *pieces]))


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
    found = replace(info, shape=(len(wanted), *info.shape[1:]), nbytes=len(wanted) * row_bytes, digest="")
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
        checked = bool(self._info.digest) and self._info not in _checked
        digests: list[str] = []
        for count, found in self._read(checked):
            digests.append(found)
            if on_bytes:
                on_bytes(count)  # outside of the reading: an OSError of its own is not the disk's
        if checked:
            _check(self._info, digests)

    def _read(self, checked: bool) -> Iterator[tuple[int, str]]:
        """Read all, telling the length of each piece and, where it is to be checked, its digest."""
        pieces = list(self._pieces())
        try:
            with self._info.path.open("rb", buffering=0) as file:
                if len(pieces) < 2:
                    yield from (_read_piece(self._info, file, offset, [view], checked) for offset, view in pieces)
                else:
                    yield from _read_at_once(self._info, file, pieces, checked)
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
            for done in range(0, length, PIECE):
                begin = number * length + done
                yield offset + done, view[begin : begin + min(PIECE, length - done)]

    def array(self) -> mx.array:
        """The tensor, once it was filled."""
        if not self._info.nbytes:
            return mx.zeros(self._info.shape, dtype=self._dtype)
        return self._storage.view(self._dtype).reshape(self._info.shape)


def _read_at_once(
    info: TensorInfo, file: FileIO, pieces: Sequence[tuple[int, memoryview]], checked: bool
) -> Iterator[tuple[int, str]]:
    """Several pieces at a time."""
    readings = [_readers().submit(_read_piece, info, file, offset, [view], checked) for offset, view in pieces]
    try:
        for reading in readings:
            yield reading.result()
    finally:  # nobody may write to this memory, or read from this file, after it
        for reading in readings:
            reading.cancel()
        wait(readings)


def _read_piece(
    info: TensorInfo, file: FileIO, offset: int, handed_over: list[memoryview], checked: bool
) -> tuple[int, str]:
    """Fill the one view in the list, which is taken out of it: threads keep a task's arguments for a while after it."""
    view, done = handed_over.pop(), 0
    while done < len(view):
        count = os.preadv(file.fileno(), [view[done:]], offset + done)
        if not count:
            raise CheckpointError(f"{info.path} ends inside tensor {info.name}; {fetch_again(info.path)}.")
        done += count
    return done, digest(view) if checked else ""


def check_tensor(info: TensorInfo, on_bytes: OnBytes | None = None) -> None:
    """Read a tensor of a file of our own, a piece at a time, only to see whether it is whole.

    Raises:
        CheckpointError: if it is damaged, has no digest, or can't be read.
    """
    piece, digests = memoryview(bytearray(min(PIECE, info.nbytes))), []
    try:
        with info.path.open("rb", buffering=0) as file:
            for done in range(0, info.nbytes, PIECE):
                count, found = _read_piece(info, file, info.offset + done, [piece[: info.nbytes - done]], True)
                digests.append(found)
                if on_bytes:
                    on_bytes(count)
    except OSError as error:
        raise CheckpointError(f"{info.path} can't be read ({error.strerror or error}); check the disk.") from error
    _check(info, digests)


def _check(info: TensorInfo, digests: list[str]) -> None:
    """Raises CheckpointError if these are not the digests of the tensor's pieces."""
    if tensor_digest(info.dtype, info.shape, digests) != info.digest:
        raise CheckpointError(f"{info.path} is damaged: tensor {info.name} is not as it was written; make it again.")
    if info.nbytes > PIECE:
        _checked.add(info)


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
