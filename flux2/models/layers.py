"""Small functions that the networks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flux2.backend.cpu.silu import silu_on_cpu
from flux2.backend.mlx import mx, nn, on_cpu

FLOAT16_MAX = 65504.0


def fused(function: Callable[..., mx.array]) -> Callable[..., mx.array]:
    """Compile a chain of elementwise operations into one kernel, on the GPU only.

    On the CPU MLX compiles by calling a C++ compiler at run time, which costs about a second per function and needs
    one installed.
    """
    compiled = mx.compile(function, shapeless=True)

    @wraps(function)
    def call(*arrays: mx.array) -> mx.array:
        return function(*arrays) if on_cpu() else compiled(*arrays)

    return call


def outputs(linear: Any, x: mx.array, start: int = 0, stop: int | None = None) -> mx.array:
    """Some of what a Linear without bias, quantized or not, makes of x, as if the others were not there."""
    some = slice(start, stop)
    made: mx.array = x @ linear.weight[some].T if isinstance(linear, nn.Linear) else linear.outputs(x, some)
    return made


def silu(x: mx.array) -> mx.array:
    """x · sigmoid(x)."""
    return silu_on_cpu(x) if on_cpu() else _silu(x)


def gated_silu(gate: mx.array, x: mx.array) -> mx.array:
    """silu(gate) · x: the middle of a SwiGLU feed-forward."""
    return silu_on_cpu(gate, x) if on_cpu() else _gated_silu(gate, x)


@fused
def _silu(x: mx.array) -> mx.array:
    return x * mx.sigmoid(x)


@fused
def _gated_silu(gate: mx.array, x: mx.array) -> mx.array:
    return gate * mx.sigmoid(gate) * x


@fused
def add_gated(x: mx.array, gate: mx.array, update: mx.array) -> mx.array:
    return x + gate * update


def clip_float16(x: mx.array) -> mx.array:
    """Keep float16 activations finite, as diffusers does at the end of each block; other types pass unchanged."""
    return mx.clip(x, -FLOAT16_MAX, FLOAT16_MAX) if x.dtype == mx.float16 else x
