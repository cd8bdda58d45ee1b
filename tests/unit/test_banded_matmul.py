"""Products by bands are those of the whole weight, with any number of threads, whatever the shapes."""

from __future__ import annotations

import pytest

from flux2.architecture import limits
from flux2.architecture.limits import GROUP
from flux2.backend import blas
from flux2.backend.cpu import banded_matmul
from flux2.backend.cpu.banded_matmul import multiply_by_bands
from flux2.backend.mlx import mx
from tests.unit.checkpoints import resident


def quantized(outputs: int, inputs: int, bits: int) -> tuple[mx.array, mx.array, mx.array]:
    weight = mx.random.normal((outputs, inputs), key=mx.random.key(outputs)).astype(mx.bfloat16)
    codes, scales, biases = mx.quantize(weight, group_size=GROUP, bits=bits)
    return codes, scales, biases


def reference(x: mx.array, weight: tuple[mx.array, mx.array, mx.array], bits: int) -> mx.array:
    codes, *others = weight
    return x @ mx.dequantize(codes, *(each.astype(mx.float32) for each in others), group_size=GROUP, bits=bits).T


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("bits", [4, 5, 6, 8])
@pytest.mark.parametrize("shape", [(7, 64), (100, 128), (33, 320)])  # one band, whole bands, and some rows left over
def test_gives_the_product(monkeypatch: pytest.MonkeyPatch, threads: int, bits: int, shape: tuple[int, int]) -> None:
    monkeypatch.setattr(blas, "threads", lambda: threads)
    monkeypatch.setattr(limits, "DEQUANTIZED_NUMBERS", 10 * 128)
    monkeypatch.setattr(banded_matmul, "_PIECE", 3 * 128)
    weight = quantized(*shape, bits)
    x = mx.random.normal((2, 5, shape[1]), key=mx.random.key(1))
    product = multiply_by_bands(x, weight, bits)
    assert mx.allclose(product, reference(x, weight, bits), rtol=1e-5, atol=1e-4)  # of sums up to 40, in any order
    half = multiply_by_bands(x.astype(mx.float16), weight, bits)
    assert half.dtype == mx.float16
    assert mx.allclose(half.astype(mx.float32), product, rtol=0.05, atol=0.05)


def test_holds_one_band_beside_the_product() -> None:
    weight = quantized(4096, 4096, 4)
    x = mx.zeros((1, 4096))
    mx.eval(x, weight)
    before = resident()
    mx.reset_peak_memory()
    product = multiply_by_bands(x, weight, 4)
    mx.eval(product)
    above = mx.get_peak_memory() - before
    scales = 2 * 4 * 4096 * 4096 // GROUP
    assert above < limits.DEQUANTIZED_NUMBERS * 4 + scales + (1 << 20)
