"""Contenders timed in turn, so that whatever slows the machine down for a while slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from flux2.bench.recording import Recording
from flux2.bench.research.peers.contender import Contender

WARM_UPS = 2
LEAST_ROUNDS = 3
"""Rounds that everybody has, whatever the time."""

Row = dict[str, Any]


def race(
    contenders: Sequence[Contender], rounds: int, recording: Recording, rows: list[Row] | None = None
) -> list[Row]:
    """Each contender's times, peak and distance from the first one, ready for JSON; seconds and bytes.

    A row has its "median" as soon as its contender was timed; one that fails is timed no more.

    Args:
        rounds: in each of which every contender does the work once, after `WARM_UPS` that do not count; fewer where
            the recording's time is over.
        rows: the list that the rows are put into, where it is part of the report.
    """
    rows = [] if rows is None else rows
    runners: list[tuple[Contender, Row]] = []
    reference: npt.NDArray[np.float32] | None = None
    for contender in contenders:
        warmed = recording.attempt(contender.name, "warming up", partial(_warm_up, contender))
        if warmed is None:
            continue
        row, result = warmed
        reference = result if reference is None else reference
        row["relative_error"] = relative_error(result, reference)
        rows.append(row)
        runners.append((contender, row))
        recording.save()
    for number in range(rounds):
        if not runners or (number >= LEAST_ROUNDS and recording.is_over()):
            break
        runners = [
            each for each in runners if recording.attempt(each[0].name, "a round", partial(_add, *each), tell=False)
        ]
        if len(contenders) > 1:
            recording.say(f"round {number + 1} of {rounds}")
        recording.save()
    return rows


def timed(rows: Sequence[Row]) -> list[Row]:
    """Those that were."""
    return [row for row in rows if "median" in row]


def _warm_up(contender: Contender) -> tuple[Row, npt.NDArray[np.float32]]:
    began = time.perf_counter()
    result = contender.as_numpy(contender.run())
    first = time.perf_counter() - began
    for _ in range(WARM_UPS - 1):
        contender.run()
    row = {
        "name": contender.name,
        "version": contender.version,
        **contender.notes,
        "first_seconds": first,
        "peak_above_weights": peak_above_weights(contender),
        "finite": bool(np.isfinite(result).all()),
        "seconds": [],
    }
    return row, result


def peak_above_weights(contender: Contender) -> int | None:
    """Bytes of another run's peak above what was held before it, weights and inputs; None where nobody counts."""
    contender.meter.reset()
    before = contender.meter.held()
    contender.run()
    peak = contender.meter.peak()
    return None if peak is None else peak - before


def relative_error(result: npt.NDArray[np.float32], reference: npt.NDArray[np.float32]) -> float:
    """The norm of the difference in units of the reference's norm."""
    ours, theirs = result.astype(np.float64), reference.astype(np.float64)
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def _add(contender: Contender, row: Row) -> bool:
    """Time it once more."""
    began = time.perf_counter()
    contender.run()
    row["seconds"].append(time.perf_counter() - began)
    times = row["seconds"]
    row |= {"median": statistics.median(times), "least": min(times), "most": max(times)}
    return True
