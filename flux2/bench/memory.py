"""The benchmark document's memory tables, measured: every model at every quantization, each in a process of its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from flux2.architectures import ARCHITECTURES
from flux2.bench.cell import Cell
from flux2.bench.conditions import read_conditions
from flux2.bench.synthetic import write_synthetic
from flux2.errors import Flux2Error

FORMAT = 1
_COPIED = ("blas",)
"""Folders of the cache that cells may find made; all else they do for themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure."""

    models: tuple[str, ...]
    """Catalog names, Hub repositories or folders; with `synthetic`, names in `flux2.architectures`."""
    quantizations: tuple[str, ...]
    parts: tuple[str, ...]
    """Of `flux2.bench.cell.PARTS`."""
    cell: Cell
    """Size, steps, tokens and dtype of every cell."""
    synthetic: bool = False
    divisor: int = 1
    """Of the synthetic checkpoint's size."""
    runs: int = 1

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Each model with each of its cells; what does not depend on the quantization is measured once."""
        for model in self.models:
            parts = tuple(part for part in self.parts if part != "encode" or "generate" not in self.parts)
            if "encode" in parts:
                yield model, replace(self.cell, source=model, quantization="bf16", parts=("encode",))
            for quantization in self.quantizations:
                for part in parts:
                    if part != "encode" and not (part == "load" and "generate" in parts):
                        yield model, replace(self.cell, source=model, quantization=quantization, parts=(part,))


def run_bench(plan: BenchPlan, say: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
    """Measure every cell and return the report, ready for JSON; bytes and seconds.

    A cell that fails has an "error" in place of its figures; the others are measured all the same.

    Args:
        say: told which cell comes next.

    Raises:
        Flux2Error: if a synthetic model is unknown, or can't be written.
    """
    report: dict[str, Any] = {
        "format": FORMAT,
        "synthetic": plan.synthetic,
        "divisor": plan.divisor,
        "conditions": read_conditions(),
    }
    with tempfile.TemporaryDirectory(prefix="flux2-bench-") as scratch, _fresh_home(Path(scratch)) as environment:
        sources = {model: _source(plan, model, Path(scratch)) for model in plan.models}
        rows = []
        for model, cell in plan.cells():
            say(f"{model} {cell.quantization}: {', '.join(cell.parts)}")
            try:
                runs = [_run_cell(replace(cell, source=sources[model]), environment) for _ in range(plan.runs)]
            except Flux2Error as error:
                say(str(error))
                rows.append({"model": model, **_settings(cell), "error": str(error)})
            else:
                rows.append({"model": model, **_settings(cell), **_summary(runs)})
    return {**report, "cells": rows}


def _source(plan: BenchPlan, model: str, scratch: Path) -> str:
    if not plan.synthetic:
        return model
    if model not in ARCHITECTURES:
        raise Flux2Error(f"There is no synthetic {model!r}; choose one of {', '.join(ARCHITECTURES)}.")
    return str(write_synthetic(model, scratch / model, plan.divisor))


@contextmanager
def _fresh_home(scratch: Path) -> Iterator[dict[str, str]]:
    """An environment in which nothing is cached, but for the libraries that are the same for every run."""
    from flux2.paths import cache_dir

    home = scratch / "home"
    (home / "cache").mkdir(parents=True)
    for name in _COPIED:
        if (cache_dir() / name).is_dir():
            (home / "cache" / name).symlink_to(cache_dir() / name)
    yield {**os.environ, "FLUX2_HOME": str(home)}


def _run_cell(cell: Cell, environment: dict[str, str]) -> dict[str, Any]:
    """Measure in a new process.

    Raises:
        Flux2Error: with the last line the process wrote, if it failed.
    """
    command = [sys.executable, "-m", "flux2.bench.cell", json.dumps(asdict(cell))]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or f"it ended with code {done.returncode}").splitlines()[-1]
        raise Flux2Error(f"Measuring {cell.source} {cell.quantization} ({', '.join(cell.parts)}) failed: {last}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def _settings(cell: Cell) -> dict[str, Any]:
    values = asdict(cell)
    del values["source"]
    return values


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians, and how far each figure spreads over the runs."""
    return {
        "runs": len(runs),
        "figures": _medians(run["figures"] for run in runs),
        "phase_peaks": _medians(run["phase_peaks"] for run in runs),
        "seconds": _medians(run["seconds"] for run in runs),
        "step_seconds": runs[-1]["step_seconds"],
        "footprint": statistics.median(run["footprint"] for run in runs),
        "spread": {
            kind: {name: (min(found), max(found)) for name, found in _columns(run[kind] for run in runs)}
            for kind in ("figures", "seconds")
        },
    }


def _medians(values: Iterable[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(found) for name, found in _columns(values)}


def _columns(values: Iterable[dict[str, float]]) -> Iterator[tuple[str, list[float]]]:
    rows = list(values)
    for name in rows[0]:
        yield name, [row[name] for row in rows]
