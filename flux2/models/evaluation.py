"""When arrays are computed: MLX computes nothing until it is told to, and what is told when decides memory and speed.

An MLX operation only notes what is to be done. Until `mx.eval` does it, all that it needs is held, and a network built
up to its end would hold every intermediate of every block at once. So the networks say where a part is complete, and
who runs them says what happens there. There are four places, each with one reason:

1. **After a part of a block**: `Evaluate`. A transformer block hands over its queries, keys and values, its attention
   and its feed-forward as each is complete; after it no more is held than the next part needs. `mx.eval` computes it
   and waits; a `HeadStart` has the GPU compute it while Python prepares the next part, as long as there is room.
   Weights that come and go (a streamed transformer) need `mx.eval`: they must not go before they were used.
2. **After a block**: `AfterBlock`. The block's results; the caller counts blocks for the progress bar, hears a cancel
   and shows a preview that is done. `evaluating` makes such a function that also computes, for networks that have no
   `Evaluate` (the text encoder, the autoencoder).
3. **Within an operation too large to be done at once**: `evaluate_next`. Attention by chunks of queries, pictures by
   bands of rows: each is computed before the next but one begins.
4. **After a step of denoising**: `InFlight`. The next step's first block is given to the GPU before the caller looks at
   this one's latents, so that drawing a preview and writing a file cost no time on it.

On the CPU, where Python has no other processor to hide its own time behind, 1 and 3 are `mx.eval`, and 4 is not done.

How much may be held by 1 and 3 stands in `flux2.architecture.limits`, where the planner reads it, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from flux2.architecture import limits
from flux2.backend.mlx import mx, on_cpu

AfterBlock = Callable[..., Any]
"""Called with the arrays that a block of a network produced. `mx.eval`, the default everywhere, bounds memory to one
block's; a caller's own can also count, or stop the network by raising."""

Evaluate = Callable[..., Any]
"""Has the arrays that a part of a block produced computed before more is held: `mx.eval`, or a `HeadStart`."""

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


def evaluating(advance: Callable[[int], None]) -> AfterBlock:
    """A function to be called after each block of a network: it computes the block's results and counts one."""

    def after_block(*arrays: mx.array) -> None:
        mx.eval(*arrays)
        advance(1)

    return after_block


class InFlight:
    """Arrays that are being computed beside Python and may not be there yet."""

    def __init__(self, *arrays: mx.array) -> None:
        """Begin to compute these, and whether the first of them is finite."""
        self._arrays = arrays
        self._finite = mx.isfinite(arrays[0]).all()
        mx.async_eval(*arrays, self._finite)  # type: ignore[no-untyped-call]

    def arrived(self) -> bool:
        """Wait for all of them; whether the first is finite. Where it is not, the others are not waited for."""
        if not self._finite.item():
            return False
        mx.eval(*self._arrays)
        return True
