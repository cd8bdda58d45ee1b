"""NumPy's quantizing gives what MLX's gives, bit for bit, with any number of threads and in pieces of any size."""

from __future__ import annotations

import pytest

from flux2.architecture.limits import GROUP
from flux2.backend import blas
from flux2.backend.mlx import mx, on_cpu
from flux2.quantization import linear as quantization
from flux2.quantization import on_cpu as quantizing
from flux2.quantization.linear import MODES, quantize

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
@pytest.mark.parametrize("level", ["int4", "qint8"])
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


@pytest.mark.parametrize("level", ["int4", "qint8"])
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
