"""Checkpoint files made for tests: real headers, and data that is either given or a hole in a sparse file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlx.utils import tree_flatten

from flux2.mlx_backend import nn

BYTES = {"BF16": 2, "F16": 2, "F32": 4, "I64": 8}


def sparse_safetensors(path: Path, shapes: Mapping[str, tuple[int, ...]], dtype: str = "BF16") -> None:
    """A file whose tensors are zeros that take no room on the disk."""
    offset, header = 0, {}
    for name, shape in shapes.items():
        end = offset + int(np.prod(shape, dtype=np.int64)) * BYTES[dtype]
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [offset, end]}
        offset = end
    write_raw(path, header)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + offset)


def write_raw(path: Path, header: Mapping[str, Any] | str, data: bytes = b"") -> None:
    """A file with exactly this header, right or wrong."""
    raw = (header if isinstance(header, str) else json.dumps(header)).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def parameter_shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(array.shape) for name, array in tree_flatten(network.parameters())}
