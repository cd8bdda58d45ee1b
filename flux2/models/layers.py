"""Small functions that the networks share."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Any

from flux2.architecture import limits
from flux2.backend.cpu.silu import silu_on_cpu
from flux2.backend.mlx import mx, nn, on_cpu

AfterBlock = Callable[..., Any]
"""Called with the arrays that a block of a network produced. `mx.eval`, the default everywhere, bounds memory to one
block's; a caller's own can also count, or stop the network by raising."""

Evaluate = Callable[..., Any]
"""Has the arrays that a part of a block produced computed before more is held: `mx.eval`, or a `HeadStart`."""

FLOAT16_MAX = 65504.0

_NAP, _NAPS = 20e-6, 100
"""Seconds between two looks at what a GPU let go of, and looks before it is waited for: 2 ms, a large part's time."""


class HeadStart:
    """Evaluates each part while the one before is still being computed, so that the GPU never waits for Python.

    What a GPU is given holds all of its intermediates until it is done, and a while longer: a thread of MLX's lets go
    of them. So a part is given only where no more than a certain room is held above the weights; else what was given
    before is waited for, until it is let go of.
    """

    def __init__(self, room: int | None = None) -> None:
        """A first part without one before it; `room` takes the place of `limits.HEAD_START_ROOM`."""
        self._room = limits.HEAD_START_ROOM if room is None else room
        self._held_before: int | None = None
        self._last: tuple[mx.array, ...] = ()

    def __call__(self, *arrays: mx.array) -> None:
        if self._held_before is None:
            self._held_before = mx.get_active_memory()
        mx.async_eval(*arrays)  # type: ignore[no-untyped-call]
        mx.eval(*self._last)
        self._last = arrays
        self._wait_for_room(self._held_before)

    def _wait_for_room(self, held_before: int) -> None:
        """Wait until the next part may be given. The GPU goes on with the last one meanwhile."""
        for _ in range(_NAPS):
            if mx.get_active_memory() - held_before <= self._room:
                return
            time.sleep(_NAP)
        mx.synchronize()  # it is the last part itself that takes the room: nothing is left to be let go of then


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
