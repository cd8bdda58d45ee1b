"""Quantized runs against diffusers' float32 ones: how far they may be, as measured, and not as near as unquantized."""

from __future__ import annotations

import engine
import numpy as np
import pytest
from compare import relative_distance
from recordings import ALL_RUNS, recording

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.errors import CheckpointError
from flux2.quantization.linear import MODES, Quantization, QuantizedLinear

QUANTIZABLE = [name for name in ALL_RUNS if not name.startswith("odd/")]
# Of the final latents, relative to the reference's norm: (least, most). Measured over all runs: qint8 0.006 to 0.009,
# int6 0.024 to 0.035, int5 0.050 to 0.073, int4-mixed 0.036 to 0.083, int4 0.10 to 0.14. (In networks as small as these
# the layers of int4-mixed that have more bits are so many that it takes 5.1 to 5.6 bits a weight.)
DISTANCES = {
    "qint8": (0.003, 0.0125),
    "int6": (0.0125, 0.05),
    "int5": (0.025, 0.1),
    "int4-mixed": (0.02, 0.1),
    "int4": (0.05, 0.2),
}
BFLOAT16_ROUNDING = 2.0**-9  # relative, at most


@pytest.mark.parametrize("quantization", DISTANCES)
@pytest.mark.parametrize("name", QUANTIZABLE)
def test_a_quantized_run_stays_near(name: str, quantization: str) -> None:
    run = recording(name)
    least, most = DISTANCES[quantization]
    latents = engine.generate(run, quantization=quantization).latents
    assert least <= relative_distance(latents[-1], run["latents"][-1]) <= most


@pytest.mark.parametrize("mode", [mode for mode in MODES.values() if mode], ids=lambda mode: mode.name)
def test_every_weight_is_near_its_own(mode: Quantization) -> None:
    """One edge of a group is kept exactly, so the other is up to a step off; the scale's bfloat16 adds to that."""
    source = NetworkSource.check(open_checkpoint(recording(QUANTIZABLE[0]).checkpoint), TRANSFORMER)
    exact = dict(source.load(mx.float32).named_modules())
    linears = {
        name: module
        for name, module in source.load(mx.float32, mode).named_modules()
        if isinstance(module, QuantizedLinear)
    }
    assert len(linears) == sum("weight" in module and module.weight.ndim == 2 for module in exact.values())
    for name, linear in linears.items():
        scales, biases = linear.scales.astype(mx.float32), linear.biases.astype(mx.float32)
        stored = mx.dequantize(linear.weight, scales, biases, group_size=mode.group_size, bits=linear.bits)
        weight = np.array(exact[name].weight.astype(mx.float32)).reshape(-1, mode.group_size)
        error = np.abs(np.array(stored).reshape(weight.shape) - weight).max(axis=1)
        codes = 2**linear.bits - 1
        step = (weight.max(axis=1) - weight.min(axis=1)) / codes
        assert (error <= step * (1 + codes * BFLOAT16_ROUNDING)).all(), name


@pytest.mark.parametrize("quantization", DISTANCES)
def test_widths_that_do_not_divide_into_groups_are_refused_before_any_work(quantization: str) -> None:
    with pytest.raises(CheckpointError, match=r"48 inputs.*not a multiple of 64.*choose bf16"):
        engine.generate(recording("odd/tall"), quantization=quantization)
