"""The numbers that engine and planner share: changing one changes what the engine does and what is planned, both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from flux2.architecture import limits
from flux2.architecture.levels import stored_bytes
from flux2.backend.cpu.banded_matmul import multiply_by_bands
from flux2.backend.mlx import mx
from flux2.models import attention, bands
from flux2.models.evaluation import HeadStart
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.quantization import linear as quantization
from flux2.quantization.linear import MODES, QuantizedLinear
from flux2.store.configs import find_networks

WAITS = ("eval", "async_eval", "synchronize")
"""MLX's functions of which the engine calls one for each band, chunk or part."""
SMALL = {"width": 64, "height": 64, "text_tokens": 16}


def split() -> None:
    for first, last in bands.split_rows(64, 1 << 10):
        mx.eval(first, last)


def attend() -> None:
    q = mx.zeros((1, 1200, 12, 16))  # more than one chunk of scores, on either device
    mx.eval(attention.attend(q, q, q))


def quantize() -> None:
    quantization.quantize(mx.ones((64, 128), dtype=mx.float16), quantization.Quantization("qint8", 8))


def multiply() -> None:
    weight = mx.quantize(mx.ones((64, 128)), group_size=limits.GROUP, bits=4)
    multiply_by_bands(mx.ones((1, 128)), weight, 4)


def run_ahead() -> None:
    part = HeadStart()
    part(mx.zeros((1,)))
    part(mx.zeros((1 << 16,)) + 1)


@dataclass(frozen=True)
class Shared:
    """One number, another value of it, and where each of the two shows."""

    name: str
    other: int
    engine: Callable[[], None]
    """Waits another number of times for MLX."""
    phase: str
    """Phase of a plan, which takes another number of bytes."""
    setting: dict[str, Any]
    device: limits.DeviceType | None = None
    """Device whose number it is, where each has its own."""

    def change(self, patch: pytest.MonkeyPatch) -> None:
        if self.device:
            patch.setitem(getattr(limits, self.name), self.device, self.other)
        else:
            patch.setattr(limits, self.name, self.other)


ON_CPU, ON_GPU = {"device": "cpu", "dtype": "float32"}, {"device": "gpu", "dtype": "bfloat16"}
SHARED = [
    Shared("BAND_BYTES", 4 << 10, split, "decode", ON_CPU, "cpu"),
    Shared("BAND_BYTES", 4 << 10, split, "decode", ON_GPU, "gpu"),
    Shared("SCORES_BYTES", 1 << 32, attend, "decode", ON_CPU, "cpu"),
    Shared("SCORES_BYTES", 1 << 32, attend, "decode", ON_GPU, "gpu"),
    Shared("QUANTIZING_NUMBERS", 1 << 10, quantize, "load", {**ON_GPU, "quantization": "qint8"}, "gpu"),
    Shared("DEQUANTIZED_ROWS", 8, multiply, "denoise", {**ON_CPU, **SMALL, "quantization": "int4"}),
    Shared("DEQUANTIZED_NUMBERS", 8 * 128, multiply, "denoise", {**ON_CPU, **SMALL, "quantization": "int4"}),
    Shared("HEAD_START_ROOM", -(1 << 30), run_ahead, "denoise", {**ON_GPU, "width": 2048}),
]


@pytest.mark.parametrize("shared", SHARED, ids=lambda shared: f"{shared.name}-{shared.device or ''}")
def test_a_number_is_the_engines_and_the_plans(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = 0
    for module in (attention, bands, quantization):
        for asked, answer in (("on_cpu", shared.device == "cpu"), ("device_type", shared.device)):
            if asked in vars(module):
                monkeypatch.setattr(module, asked, lambda answer=answer: answer)
    monkeypatch.setattr(attention, "FUSED_HEADS", ())
    for name in WAITS:
        real = getattr(mx, name)

        def counted(*arrays: Any, real: Callable[..., None] = real) -> None:
            nonlocal waits
            waits += 1
            real(*(array for array in arrays if not isinstance(array, int)))

        monkeypatch.setattr(mx, name, counted)

    found = []
    for change in (lambda _: None, shared.change):
        change(monkeypatch)
        waits = 0
        shared.engine()
        planned = dict(plan(find_networks("klein-4b"), RunFacts(**shared.setting)).peaks)[shared.phase]
        found.append((waits, planned))
    (waits_before, planned_before), (waits_after, planned_after) = found
    assert waits_before != waits_after
    assert planned_before != planned_after


@pytest.mark.parametrize("level", [level for level, mode in MODES.items() if mode])
def test_a_quantized_weight_takes_the_bytes_that_are_planned(level: str) -> None:
    mode = MODES[level]
    assert mode is not None
    linear = QuantizedLinear(mx.ones((128, 3 * limits.GROUP), dtype=mx.bfloat16), mode)
    stored = linear.weight.nbytes + linear.scales.nbytes + linear.biases.nbytes
    assert stored == stored_bytes(128 * 3 * limits.GROUP, mode.bits)
