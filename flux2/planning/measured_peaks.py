"""Peaks of runs on this machine, kept so that a plan can say what was measured in place of what is predicted.

One JSON file in the state folder, written by whoever finishes a run; another version's is begun anew. No MLX.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from flux2 import __version__
from flux2.disk.atomic import changing, write_atomically
from flux2.disk.private import make_private, read_own
from flux2.events import PHASES
from flux2.paths import state_dir
from flux2.planning.planner import MemoryPlan
from flux2.request import GenerationRequest

MOST_RUNS = 500
"""Runs that are remembered; the oldest go first."""
_PLANNED = PHASES[:-1]  # saving holds nothing

_Peaks = dict[str, dict[str, int]]


def remember_peaks(request: GenerationRequest, plan: MemoryPlan, peaks: Mapping[str, int]) -> None:
    """Note what a run took, phase by phase. A file that can't be written is no reason to fail.

    A phase that the run went through with a transformer from an earlier one is not what a first run takes, so that
    encoding counts only together with loading.
    """
    key = _key(request, plan)
    fresh: dict[str, int] = {phase: count for phase, count in peaks.items() if phase in _PLANNED}
    encoding: dict[str, int] = {phase: fresh.pop(phase) for phase in ("encode", "references") if phase in fresh}
    with contextlib.suppress(OSError):
        make_private(_path().parent)
        with changing(_path()):
            known = _read()
            if encoding and "load" in fresh:
                before = _encoding_key(request, plan)
                known[before] = {**known.pop(before, {}), **encoding}
            known[key] = {**known.pop(key, {}), **fresh}
            kept = dict(list(known.items())[-MOST_RUNS:])
            write_atomically(_path(), json.dumps({"version": __version__, "peaks": kept}, indent=0).encode())


def measured_peak(request: GenerationRequest, plan: MemoryPlan) -> int | None:
    """The highest of all phases of such a run, bytes; None while one of them was never measured."""
    known = _read()
    peaks = {**known.get(_encoding_key(request, plan), {}), **known.get(_key(request, plan), {})}
    missing = any(phase not in peaks for phase in plan.peaks)
    return None if missing else max(peaks.values())


def _key(request: GenerationRequest, plan: MemoryPlan) -> str:
    """All that the peaks depend on."""
    return json.dumps([request.model, request.vae, plan.drops_transformer, *asdict(plan.facts).values()])


def _encoding_key(request: GenerationRequest, plan: MemoryPlan) -> str:
    """What encoding depends on: not on the transformer, which comes after it, so that a comparison, whose prompt is
    encoded for the first of its pictures only, measures all of them."""
    facts = plan.facts
    parts = [facts.keep_text_encoder, facts.dtype, facts.device, facts.guided, facts.text_tokens, facts.pictures]
    return json.dumps([request.model, *parts])


def _read() -> _Peaks:
    try:
        content = json.loads(read_own(_path()))
        if content["version"] != __version__:
            return {}
        return {
            str(key): {phase: int(count) for phase, count in peaks.items()} for key, peaks in content["peaks"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):  # none yet, or damaged
        return {}


def _path() -> Path:
    return state_dir() / "peaks.json"
