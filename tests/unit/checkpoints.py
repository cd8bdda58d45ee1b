"""Checkpoint files made for tests: real headers, and data that is either given or a hole in a sparse file."""

from __future__ import annotations

import gc
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from mlx.utils import tree_flatten

from flux2.backend.mlx import mx, nn

BYTES = {"F8_E4M3": 1, "BF16": 2, "F16": 2, "F32": 4, "I64": 8}


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


def writable_copy(source: Path, target: Path) -> Path:
    """A checkpoint to break: configs are copied, weights are links that may be replaced but not written to."""

    def copy(source_file: str, target_file: str) -> None:
        (os.symlink if source_file.endswith(".safetensors") else shutil.copy)(source_file, target_file)

    return Path(shutil.copytree(source, target, copy_function=copy))


def edit_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file; None takes a key away."""
    content = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def resident() -> int:
    """What other tests keep in MLX's memory of this process, bytes: a peak measured now counts it too."""
    gc.collect()
    return int(mx.get_active_memory())
