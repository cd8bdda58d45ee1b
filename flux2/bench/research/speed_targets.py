"""What the speeds have to reach, as set for this project before they were measured: ratios within one measurement.

A goal missed is listed in `MISSES` with the reason, so that the tests fail both when another one is missed and when a
listed one is missed no longer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flux2.bench.research.peers.race import timed
from flux2.bench.research.recorded import model_name

MIB = 2**20
AGAINST_PEERS: Mapping[str, Mapping[str, float]] = {
    "gpu": {"diffusers": 0.90, "mflux bf16": 0.85, "mflux bf16 compiled": 0.95},
    "cpu": {"mflux bf16": 1.0, "mflux bf16 compiled": 1.0},
}
"""The most that a step in bf16 may take by backend, times theirs."""
QUANTIZED = {"ours qint8": 1.10, "ours int4": 1.10}
"""The most that a step may take, times ours in bf16."""
PEAKS = {"klein-4b": 1000, "klein-9b": 1300, "dev": 2000}
"""MiB above the weights, of a step in bf16 at 1024×1024 on a GPU."""
ERROR = 0.02
"""Largest relative error of a step in bf16 against diffusers'."""
BOUND = 1.2
"""Most that a phase may take, times its lower bound."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What is wanted of one model on one backend."""

    backend: str
    model: str
    what: str


@dataclass(frozen=True, slots=True)
class Judged:
    """A goal, and what was measured of it."""

    goal: Goal
    value: float
    limit: float

    @property
    def met(self) -> bool:
        return self.value <= self.limit


_NEW_MEMORY = (
    "MLX's arrays lie in CUDA's managed memory, of which eight threads fill 4 GiB a second; of ordinary new memory, "
    "which is the bound, they fill 18."
)
_ENCODING = (
    "The bound has the products of the weights alone, at the speed of a large one; those of its narrow matrices take a "
    "fifth longer, and attention, norms and gates go at the speed of memory."
)
_QUANTIZING = (
    "The bound is reading alone, 0.3 ns a number out of the cache; finding its group's scale and its own code takes "
    "1.8 in the one thread that a network as small as this has."
)
_QUANTIZING_MUCH = (
    "The bound is reading alone; finding the codes takes both cores 5 seconds more, which reading overlaps in part."
)
_SMALL = "30 ms that do not grow with the model take longer than reading 126 MiB; at full size it is within the goal."
MISSES: Mapping[Goal, str] = {
    Goal("cpu", "klein-4b", "load qint8, times its bound"): _QUANTIZING_MUCH,
    Goal("cpu", "klein-4b", "load qint8 off the disk, times its bound"): _QUANTIZING_MUCH,
    Goal("cpu", "klein-4b", "load int4, times its bound"): _QUANTIZING_MUCH,
    Goal("cpu", "klein-4b", "load int4 off the disk, times its bound"): _QUANTIZING_MUCH,
    Goal("cpu", "klein-4b ÷ 4", "encode, times its bound"): _ENCODING,
    Goal("cpu", "klein-4b ÷ 4", "encode off the disk, times its bound"): _ENCODING,
    Goal("cpu", "klein-4b ÷ 4", "load bf16, times its bound"): _SMALL,
    Goal("cpu", "klein-4b ÷ 4", "load bf16 off the disk, times its bound"): _SMALL,
    Goal("cpu", "klein-4b ÷ 4", "load qint8, times its bound"): _QUANTIZING,
    Goal("cpu", "klein-4b ÷ 4", "load qint8 off the disk, times its bound"): _QUANTIZING,
    Goal("cpu", "klein-4b ÷ 4", "load int4, times its bound"): _QUANTIZING,
    Goal("cpu", "klein-4b ÷ 4", "load int4 off the disk, times its bound"): _QUANTIZING,
    Goal("cpu", "klein-4b ÷ 4", "decode 512×512, times its bound"): (
        "The bound has the convolutions' products alone, at the speed of a large one; those of 32 and 64 channels are "
        "slower, and norms and activations go at the speed of memory."
    ),
    Goal("gpu", "dev", "difference from diffusers"): (
        "Ours and diffusers' are both 2.0 % from the same step in float32 (gpu-peers-exact-dev.json): it is bfloat16's "
        "rounding in 56 blocks, on either side."
    ),
    Goal("gpu", "klein-4b", "encode, times its bound"): _NEW_MEMORY,
    Goal("gpu", "klein-4b", "load bf16, times its bound"): _NEW_MEMORY,
    Goal("gpu", "klein-4b", "load qint8, times its bound"): _NEW_MEMORY,
    Goal("gpu", "klein-4b", "load int4, times its bound"): _NEW_MEMORY,
    Goal("gpu", "klein-4b", "decode 1024×1024, times its bound"): (
        "It reads its weights first, and its work by bands is many small operations, of which the statistics of the "
        "group norms alone take twice the bound."
    ),
}
"""Goals that are not reached, and what is in the way."""


def judge(report: dict[str, Any]) -> Iterator[Judged]:
    """Every goal that a report of "peers" or "bounds" has the figures for."""
    backend = report["conditions"]["backend"]
    facts = report.get("work", report)

    def goal(what: str) -> Goal:
        return Goal(backend, model_name(facts), what)

    for row in report.get("bounds", []):
        yield Judged(goal(f"{row['phase']}, times its bound"), row["seconds"] / row["bound"], BOUND)
    rows = {row["name"]: row for row in timed(report.get("step", {}).get("contenders", []))}
    ours = rows.get("ours bf16")
    if ours is None:
        return
    for name, limit in AGAINST_PEERS[backend].items():
        if name in rows:
            yield Judged(goal(f"step, times {name}'s"), ours["median"] / rows[name]["median"], limit)
    for name, limit in QUANTIZED.items():
        if name in rows:
            yield Judged(goal(f"step of {name}, times bf16's"), rows[name]["median"] / ours["median"], limit)
    if "diffusers" in rows and next(iter(rows)) == "ours bf16":  # which the others' errors are the distance from
        yield Judged(goal("difference from diffusers"), rows["diffusers"]["relative_error"], ERROR)
    at_size = (facts.get("width"), facts.get("height"), facts["divisor"]) == (1024, 1024, 1)
    if backend == "gpu" and at_size and facts["model"] in PEAKS:
        yield Judged(goal("step, MiB above the weights"), ours["peak_above_weights"] / MIB, PEAKS[facts["model"]])
