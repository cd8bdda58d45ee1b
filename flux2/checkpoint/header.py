"""The header of a safetensors file: read without MLX, and compared with the file's length.

The format: 8 bytes of header length N (little-endian), N bytes of JSON {name: {dtype, shape, data_offsets}}, the data.
https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from flux2.checkpoint.impostors import impostor
from flux2.checkpoint.missing import explain_missing
from flux2.checkpoint.remedies import fetch_again
from flux2.errors import CheckpointError

METADATA = "__metadata__"
_LENGTH_BYTES = 8
_MAX_HEADER = 100_000_000  # bytes; the format's own limit
_KEPT = 256  # files whose wholeness is remembered; Dev's checkpoint has 18


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the data."""

    size: int
    """Bytes of the whole file."""
    data_start: int
    """Where in the file the data begin."""
    entries: dict[str, Any]
    """JSON of each tensor by its name, and the metadata, as they stand there."""


def read_json_header(path: Path) -> Header:
    """The header as JSON; that its entries make sense is not looked at.

    Raises:
        CheckpointError: if there is none, it is cut short, or no JSON.
    """
    try:
        if not path.is_file():
            raise CheckpointError(explain_missing(path))
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            if not 2 <= length <= min(_MAX_HEADER, size - _LENGTH_BYTES):
                if sentence := impostor(path):
                    raise CheckpointError(sentence)
                raise CheckpointError(
                    f"{path} is not a safetensors file or is cut short ({size:,} bytes); {fetch_again(path)}."
                )
            raw = file.read(length)
    except OSError as error:
        raise CheckpointError(
            f"{path} can't be read ({error.strerror or error}); check the disk and the path."
        ) from error
    try:
        entries = json.loads(raw, object_pairs_hook=_refuse_duplicates)
        if not isinstance(entries, dict):
            raise ValueError("it is not a JSON object")
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header ({error}); {fetch_again(path)}.") from error
    return Header(size, _LENGTH_BYTES + length, entries)


def is_whole(path: Path) -> bool:
    """Whether a file of weights is as long as its header says: one that was cut short is there, and is not whole."""
    try:
        stat = path.stat()
    except OSError:
        return False
    return _is_whole(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=_KEPT)
def _is_whole(path: Path, size: int, _changed: int) -> bool:
    try:
        header = read_json_header(path)
        ends = [entry["data_offsets"][1] for name, entry in header.entries.items() if name != METADATA]
        return header.data_start + max(ends, default=0) == size
    except (CheckpointError, LookupError, TypeError):
        return False


def _refuse_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError("it lists a name twice")
    return dict(pairs)
