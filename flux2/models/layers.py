"""Small functions that the networks share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flux2.architecture import limits
from flux2.cpu.silu import silu_on_cpu
from flux2.mlx_backend import mx, nn, on_cpu

AfterBlock = Callable[..., Any]
"""Called with the arrays that a block of a network produced. `mx.eval`, the default everywhere, bounds memory to one
block's; a caller's own can also count, or stop the network by raising."""

Evaluate = Callable[..., Any]
"""Has the arrays that a part of a block produced computed before more is held: `mx.eval`, or a `HeadStart`."""

FLOAT16_MAX = 65504.0


class HeadStart:
    """Evaluates each part while the one before is still being computed, so that the GPU never waits for Python.

    What a GPU is given holds all of its intermediates until it is done. Here those are two parts' at most, and one
    part's where they are large, which is where a pause of 0.1 ms counts for little.
    """

    def __init__(self, room: int | None = None) -> None:
        """A first part without one before it; `room` takes the place of `limits.HEAD_START_ROOM`."""
        self._room = limits.HEAD_START_ROOM if room is None else room
        self._held_before = mx.get_active_memory()
        self._last: tuple[mx.array, ...] = ()

    def __call__(self, *arrays: mx.array) -> None:
        mx.async_eval(*arrays)  # type: ignore[no-untyped-call]
        mx.eval(*self._last)
        self._last = arrays
        if mx.get_active_memory() - self._held_before > self._room:
            mx.eval(*arrays)


def head_start() -> Evaluate:
    """How to evaluate the parts of a network that is in memory. The CPU backend has nothing to hide a wait behind."""
    return mx.eval if on_cpu() else HeadStart()


def evaluate_next(array: mx.array, before: mx.array | None) -> None:
    """Compute the next of several arrays. A GPU works on it while its successor is prepared, and on no third one."""
    if on_cpu():
        mx.eval(array)
        return
    mx.async_eval(array)  # type: ignore[no-untyped-call]
    if before is not None:
        mx.eval(before)


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
