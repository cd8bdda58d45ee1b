"""NumPy's quantizing gives what MLX's operations give, bit for bit, with any number of threads and in any pieces."""

from __future__ import annotations

import pytest

from flux2.architecture.limits import GROUP
from flux2.backend import blas
from flux2.backend.mlx import mx, on_cpu
from flux2.quantization import linear as quantization
from flux2.quantization import on_cpu as quantizing
from flux2.quantization.linear import MODES, quantize

LEVELS = [name for name, mode in MODES.items() if mode]
pytestmark = pytest.mark.skipif(not on_cpu(), reason="of the CPU backend")


def weights() -> mx.array:
    """Ordinary ones, and rows that go to the edges of what can be stored."""
    rows = mx.random.normal((40, 3 * GROUP), key=mx.random.key(0)).astype(mx.bfloat16)
    odd = [
        rows[0] * 0,
        rows[0] * -0.0,
        rows[0] * 1e-9,  # less than the smallest scale
        rows[0] * 3e-7,  # about as much
        rows[0] * 1e-38,
        rows[0] * 1e37,
        mx.abs(rows[0]),
        -mx.abs(rows[0]),
        mx.ones_like(rows[0]),
    ]
    return mx.concatenate([rows, mx.stack(odd).astype(mx.bfloat16)])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("level", LEVELS)
def test_equals_mlx_bit_for_bit(monkeypatch: pytest.MonkeyPatch, level: str, threads: int) -> None:
    mode = MODES[level]
    assert mode
    with monkeypatch.context() as as_on_a_gpu:
        as_on_a_gpu.setattr(quantization, "on_cpu", lambda: False)
        expected = quantize(weights(), mode)
        mx.eval(expected)
    monkeypatch.setattr(blas, "threads", lambda: threads)
    monkeypatch.setattr(quantizing, "_PIECE", 7 * GROUP)  # some groups are left over
    for ours, theirs in zip(quantize(weights(), mode), expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert mx.array_equal(ours, theirs)


@pytest.mark.parametrize("level", LEVELS)
def test_takes_a_part_of_a_larger_array(level: str) -> None:
    mode = MODES[level]
    assert mode
    whole = weights()
    columns = whole[::2, GROUP : 2 * GROUP]
    for part, expected in zip(quantize(columns, mode), quantize(mx.array(columns), mode), strict=True):
        assert mx.array_equal(part, expected)


def test_meets_nan_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    mode = MODES["qint8"]
    assert mode
    mx.eval(quantize(mx.full((4, GROUP), float("nan"), dtype=mx.bfloat16), mode))
    assert not recwarn.list


@pytest.mark.parametrize("dtype", [mx.bfloat16, mx.float16])  # NumPy's way, and MLX's operations as on a GPU
@pytest.mark.parametrize("level", LEVELS)
def test_no_other_code_would_be_nearer_with_the_scale_as_it_is_stored(level: str, dtype: mx.Dtype) -> None:
    mode = MODES[level]
    assert mode
    weight = mx.random.normal((40, 3 * GROUP), key=mx.random.key(0)).astype(dtype)
    codes, scales, biases = quantize(weight, mode)
    wide_scales, wide_biases = scales.astype(mx.float32), biases.astype(mx.float32)
    stored = mx.dequantize(codes, wide_scales, wide_biases, group_size=GROUP, bits=mode.bits)
    error = (stored - weight.astype(mx.float32)).reshape(*scales.shape, GROUP) / wide_scales[..., None]
    number = mx.round((stored.reshape(error.shape) - wide_biases[..., None]) / wide_scales[..., None])
    within = (number > 0) & (number < 2**mode.bits - 1)
    assert mx.where(within, mx.abs(error), 0).max() <= 0.5 + 1e-3
