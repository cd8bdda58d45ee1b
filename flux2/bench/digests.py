"""What it costs to check our own files while they are read: `python -m flux2.bench.digests [MiB]`, on the CPU alone."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint import safetensors_file
from flux2.checkpoint.safetensors_file import check_tensor, read_header, read_tensor
from flux2.checkpoint.safetensors_writer import write
from flux2.disk.digest import digest

_TENSOR_MIB = 64
"""MiB of each tensor, as large as a quantized matrix of Klein 9B or Dev."""


def main(mib: int) -> None:
    data = os.urandom(_TENSOR_MIB << 20)
    for name, function in (("XXH3", digest), ("SHA-256", hashlib.sha256), ("BLAKE2b", hashlib.blake2b)):
        print(f"{name:8} {len(data) / _least(lambda function=function: function(data)) / 1e9:6.1f} GB/s")  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        path, count = Path(folder) / "model.safetensors", max(1, mib // _TENSOR_MIB)
        array = mx.array(np.frombuffer(data, np.uint8))
        names = [f"tensor{number}" for number in range(count)]
        write(path, dict.fromkeys(names, ("U8", array.shape)), {}, iter([(name, array) for name in names]))
        checked = list(read_header(path).values())
        unchecked = [replace(info, digest="") for info in checked]

        def read(infos: list[safetensors_file.TensorInfo]) -> None:
            safetensors_file._checked.clear()
            for info in infos:
                read_tensor(info)

        plain, with_digests = _least(lambda: read(unchecked)), _least(lambda: read(checked))

        def check() -> None:
            for info in checked:
                check_tensor(info)

        alone = _least(check)
    print(f"{count * _TENSOR_MIB / 1024:g} GiB out of the page cache: read in {plain:.2f} s, read and checked in")
    print(f"{with_digests:.2f} s ({with_digests / plain - 1:+.0%}); alone, as `flux2 quantize` checks, {alone:.2f} s")


def _least(work: Callable[[], object], times: int = 5) -> float:
    """Seconds, the least of several."""
    measured = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        measured.append(time.perf_counter() - began)
    return min(measured)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1024)
