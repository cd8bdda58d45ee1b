"""Memory to be filled: of the length asked for, counted by MLX, and of nobody else."""

from __future__ import annotations

import gc

import numpy as np
import pytest

from flux2.backend.cpu.blank_memory import blank
from flux2.backend.mlx import mx


@pytest.mark.parametrize("nbytes", [0, 1, 1000, 5_000_001])
def test_is_as_long_as_asked_and_takes_what_is_written(nbytes: int) -> None:
    array = blank(nbytes)
    assert (array.shape, array.dtype) == ((nbytes,), mx.uint8)
    content = np.arange(nbytes, dtype=np.uint32).astype(np.uint8)
    np.asarray(array)[...] = content
    assert np.array_equal(np.array(array), content)


def test_is_mlx_s_own_memory_and_given_back() -> None:
    gc.collect()
    before = mx.get_active_memory()
    array = blank(8 << 20)
    assert mx.get_active_memory() - before >= 8 << 20
    del array
    assert mx.get_active_memory() - before < 1 << 20


def test_two_share_nothing() -> None:
    first, second = blank(4096), blank(4096)
    np.asarray(first)[...] = 1
    np.asarray(second)[...] = 2
    assert (mx.min(first).item(), mx.max(first).item()) == (1, 1)
