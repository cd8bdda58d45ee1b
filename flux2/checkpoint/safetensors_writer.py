"""Safetensors files written one tensor at a time: the header first, for every type and shape is known beforehand."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from flux2.checkpoint.safetensors_file import item_bytes
from flux2.mlx_backend import mx

_ALIGNMENT = 8  # bytes; of the header's end

Stored = tuple[str, tuple[int, ...]]
"""A tensor's type, by the format's name of it, and its shape."""


def nbytes(stored: Stored) -> int:
    dtype, shape = stored
    return math.prod(shape) * item_bytes(dtype)


def header(tensors: Mapping[str, Stored], metadata: Mapping[str, str]) -> bytes:
    """What a file of these tensors begins with. https://github.com/huggingface/safetensors#format"""
    entries: dict[str, object] = {"__metadata__": {"format": "mlx", **metadata}}
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
    """Write a file, taking its arrays as they come, in the order of `tensors`, and flush it to the disk.

    Raises:
        OSError: if the disk is full or fails; part of the file is there then.
    """
    with path.open("wb") as file:
        file.write(header(tensors, metadata))
        for name, stored in tensors.items():
            found, array = next(arrays)
            assert found == name and array.shape == stored[1] and array.nbytes == nbytes(stored), (found, name)
            file.write(np.asarray(array.reshape(-1).view(mx.uint8)).data)
            del array  # before the next one comes
        file.flush()
        os.fsync(file.fileno())
