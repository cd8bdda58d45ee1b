"""Contenders timed in turn, so that whatever slows the machine down for a while slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.bench.peers.contender import Contender

WARM_UPS = 2


def race(
    contenders: Sequence[Contender], rounds: int, say: Callable[[str], None] = lambda _: None
) -> list[dict[str, Any]]:
    """Each contender's times, peak and distance from the first one, ready for JSON; seconds and bytes.

    Args:
        rounds: in each of which every contender does the work once, after `WARM_UPS` that do not count.
    """
    reference: npt.NDArray[np.float32] | None = None
    rows = []
    for contender in contenders:
        say(f"{contender.name}: warming up")
        began = time.perf_counter()
        result = contender.as_numpy(contender.run())
        first = time.perf_counter() - began
        for _ in range(WARM_UPS - 1):
            contender.run()
        reference = result if reference is None else reference
        rows.append(
            {
                "name": contender.name,
                "version": contender.version,
                "first_seconds": first,
                "peak_above_weights": peak_above_weights(contender),
                "relative_error": relative_error(result, reference),
                "finite": bool(np.isfinite(result).all()),
            }
        )
    times: list[list[float]] = [[] for _ in contenders]
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for contender, seconds in zip(contenders, times, strict=True):
            seconds.append(_time(contender))
    return [
        {**row, "median": statistics.median(seconds), "least": min(seconds), "most": max(seconds), "seconds": seconds}
        for row, seconds in zip(rows, times, strict=True)
    ]


def peak_above_weights(contender: Contender) -> int | None:
    """Of one more run: weights and inputs are held before it already. None where the framework does not count."""
    contender.meter.reset()
    before = contender.meter.held()
    contender.run()
    peak = contender.meter.peak()
    return None if peak is None else peak - before


def relative_error(result: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> float:
    """The norm of the difference in units of the reference's norm."""
    ours, theirs = result.astype(np.float64), reference.astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def _time(contender: Contender) -> float:
    began = time.perf_counter()
    contender.run()
    return time.perf_counter() - began
