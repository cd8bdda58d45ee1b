"""Codes are packed as MLX packs them, in NumPy's arrays and in MLX's, and unpacked in pairs."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.architecture.limits import GROUP
from flux2.backend.mlx import mx
from flux2.backend.packing import pack, unpack_pairs

BITS = (4, 5, 6, 8)


def codes_of(bits: int) -> np.ndarray:
    """Every code, in both places of a pair: [rows, GROUP], uint8."""
    numbers = np.random.default_rng(bits).permutation(np.arange(8 * GROUP) % 2**bits)
    return numbers.reshape(-1, GROUP).astype(np.uint8)


@pytest.mark.parametrize("bits", BITS)
def test_mlx_reads_what_is_packed(bits: int) -> None:
    codes = codes_of(bits)
    packed = pack(codes, bits)
    assert packed.shape == (len(codes), GROUP * bits // 8)
    scales, biases = mx.ones((len(codes), 1)), mx.zeros((len(codes), 1))
    words = mx.array(np.ascontiguousarray(packed).view(np.uint32))
    assert np.array_equal(np.array(mx.dequantize(words, scales, biases, group_size=GROUP, bits=bits)), codes)


@pytest.mark.parametrize("bits", BITS)
def test_either_librarys_arrays_are_packed_alike(bits: int) -> None:
    codes = codes_of(bits)
    made = pack(mx.array(codes), bits)
    assert isinstance(made, mx.array)
    assert np.array_equal(np.array(made), pack(codes, bits))


@pytest.mark.parametrize("bits", [bits for bits in BITS if bits < 8])
def test_pairs_come_back(bits: int) -> None:
    codes = codes_of(bits)
    pairs = unpack_pairs(pack(codes, bits), bits)
    assert np.array_equal(np.stack([pairs % 2**bits, pairs >> bits], axis=-1).reshape(codes.shape), codes)
