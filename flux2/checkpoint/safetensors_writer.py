"""Safetensors files of our own, written one tensor at a time: the header first, for every type and shape is known
beforehand, and once more at the end, with the digests by which they are checked when they are read."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import DIGESTS, PIECE, item_bytes, tensor_digest
from flux2.disk.digest import HEX_DIGITS, digest

_ALIGNMENT = 8  # bytes; of the header's end

Stored = tuple[str, tuple[int, ...]]
"""A tensor's type, by the format's name of it, and its shape."""


def nbytes(stored: Stored) -> int:
    dtype, shape = stored
    return math.prod(shape) * item_bytes(dtype)


def header(
    tensors: Mapping[str, Stored], metadata: Mapping[str, str], digests: Mapping[str, str] | None = None
) -> bytes:
    """What a file of these tensors begins with; as long without digests as with them.

    https://github.com/huggingface/safetensors#format
    """
    known = digests or dict.fromkeys(tensors, "0" * HEX_DIGITS)
    entries: dict[str, object] = {"__metadata__": {"format": "mlx", **metadata, DIGESTS: json.dumps(known)}}
    end = 0
    for name, stored in tensors.items():
        begin, end = end, end + nbytes(stored)
        entries[name] = {"dtype": stored[0], "shape": stored[1], "data_offsets": (begin, end)}
    encoded = json.dumps(entries, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % _ALIGNMENT)
    return len(encoded).to_bytes(8, "little") + encoded


def write(
    path: Path, tensors: Mapping[str, Stored], metadata: Mapping[str, str], arrays: Iterator[tuple[str, mx.array]]
) -> None:
    """Write a file that nobody else can read, taking its arrays as they come, in the order of `tensors`, and flush it.

    Raises:
        OSError: if the disk is full or fails; part of the file is there then.
    """
    digests: dict[str, str] = {}
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(header(tensors, metadata))
        for name, stored in tensors.items():
            found, array = next(arrays)
            assert found == name and array.shape == stored[1] and array.nbytes == nbytes(stored), (found, name)
            data = np.asarray(array.reshape(-1).view(mx.uint8)).data
            pieces = (digest(data[done : done + PIECE]) for done in range(0, len(data), PIECE))
            digests[name] = tensor_digest(*stored, pieces)
            file.write(data)
            del array, data  # before the next one comes
        file.seek(0)
        file.write(header(tensors, metadata, digests))
        file.flush()
        os.fsync(file.fileno())
