"""The benchmark document's tables, measured: every model at every quantization, each in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from flux2.architecture.published import ARCHITECTURES
from flux2.bench.cell import PROGRESS, Cell
from flux2.bench.comparison import compare
from flux2.bench.conditions import read_conditions, read_load
from flux2.bench.recording import Recording
from flux2.bench.synthetic import write_synthetic
from flux2.errors import Flux2Error
from flux2.paths import cache_dir
from flux2.store.source import repo_to_download

FORMAT = 2
"""Version of the JSON's form."""
_COPIED = ("blas",)
"""Folders of the cache that cells may find made; all else they do for themselves."""
_OF_NO_LEVEL = ("encode", "decode")
"""Parts that are the same at every quantization and residency, so that they are measured once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """What to measure."""

    models: tuple[str, ...]
    """Catalog names, Hub repositories or folders; with `synthetic`, names in `flux2.architecture.published`."""
    quantizations: tuple[str, ...]
    parts: tuple[str, ...]
    """Names out of `flux2.bench.cell.PARTS`."""
    cell: Cell
    """Size, steps, tokens and dtype of every cell."""
    residencies: tuple[str, ...] = ("resident",)
    synthetic: bool = False
    divisor: int = 1
    """Number that the synthetic checkpoint's widths are divided by."""
    runs: int = 1
    pictures: Path | None = None
    """A folder for the pictures made."""

    def cells(self) -> Iterator[tuple[str, Cell]]:
        """Each model with each of its cells; a generation measures encoding and loading as well."""
        skipped = ("encode", "load") if "generate" in self.parts else ()
        for model in self.models:
            for part in self.parts:
                if part in _OF_NO_LEVEL and part not in skipped:
                    yield model, replace(self.cell, source=model, parts=(part,))
            for quantization, residency in product(self.quantizations, self.residencies):
                for part in self.parts:
                    if part in _OF_NO_LEVEL or part in skipped or (part == "load" and residency == "streamed"):
                        continue
                    levelled = replace(self.cell, source=model, quantization=quantization, residency=residency)
                    yield model, replace(levelled, parts=(part,), picture=self._picture(model, levelled, part))

    def _picture(self, model: str, cell: Cell, part: str) -> str | None:
        if self.pictures is None or part != "generate":
            return None
        return str(self.pictures / f"{Path(model).name}-{cell.quantization}-{cell.residency}.png")


def run_bench(plan: BenchPlan, path: Path | None = None) -> dict[str, Any]:
    """Measure every cell and return the report, ready for JSON; bytes and seconds.

    A cell that fails has an "error" in place of its figures; the others are measured all the same.

    Args:
        path: the file that the report is written to after every cell.

    Raises:
        Flux2Error: if a synthetic model is unknown, or can't be written.
    """
    rows: list[dict[str, Any]] = []
    report: dict[str, Any] = {
        "format": FORMAT,
        "command": shlex.join(["flux2", *sys.argv[1:]]),
        "synthetic": plan.synthetic,
        "divisor": plan.divisor,
        "conditions": read_conditions(),
        "cells": rows,
    }
    recording = Recording(report, path)
    with tempfile.TemporaryDirectory(prefix="flux2-bench-") as scratch:
        sources = {model: _source(plan, model, Path(scratch)) for model in plan.models}
        for model, cell in plan.cells():
            name = f"{model} {cell.quantization} {cell.residency}: {', '.join(cell.parts)}"
            recording.say(name)
            began = recording.seconds()
            row = {"model": model, **_settings(cell), "load_before": read_load()}
            try:
                found = replace(cell, source=sources[model])
                row |= _summary([_run_cell(found, recording.say) for _ in range(plan.runs)])
            except Flux2Error as error:
                recording.say(str(error))
                row["error"] = str(error)
            else:
                row["compared"] = {figure.key: found.as_dict() for figure, found in compare(report, row)}
            row["wall_seconds"] = round(recording.seconds() - began, 2)
            rows.append(row)
            recording.say(f"{name} took {row['wall_seconds']:.1f} s")
            recording.save()
    return report


def _source(plan: BenchPlan, model: str, scratch: Path) -> str:
    if not plan.synthetic:
        repo_to_download(model)  # or there is no such model: told once, not by every cell
        return model
    if model not in ARCHITECTURES:
        raise Flux2Error(f"There is no synthetic {model!r}; choose one of {', '.join(ARCHITECTURES)}.")
    return str(write_synthetic(model, scratch / model, plan.divisor))


def _run_cell(cell: Cell, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure in a new process.

    Args:
        say: told what the process says of its progress.

    Raises:
        Flux2Error: with the last line the process wrote, if it failed.
    """
    command = [sys.executable, "-m", "flux2.bench.cell", json.dumps(asdict(cell))]
    last = ""
    with fresh_home() as home, tempfile.TemporaryFile("w+", encoding="utf-8") as result:
        environment = {**os.environ, "FLUX2_HOME": str(home)}
        process = subprocess.Popen(command, env=environment, stdout=result, stderr=subprocess.PIPE, text=True)
        with process as running:
            try:
                for line in running.stderr or ():
                    last = line.strip() or last
                    if last.startswith(PROGRESS):
                        say(last)
            except BaseException:  # a signal, perhaps, which this process alone has heard
                running.kill()
                raise
        result.seek(0)
        written = result.read()
    if process.returncode:
        reason = last or f"it ended with code {process.returncode}"
        raise Flux2Error(f"Measuring {cell.source} {cell.quantization} ({', '.join(cell.parts)}) failed: {reason}")
    measured: dict[str, Any] = json.loads(written.splitlines()[-1])
    return measured


@contextmanager
def fresh_home() -> Iterator[Path]:
    """A folder in which nothing is cached, but for the libraries that are the same for every run."""
    with tempfile.TemporaryDirectory(prefix="flux2-bench-") as folder:
        cache = Path(folder) / "cache"
        cache.mkdir()
        for name in _COPIED:
            if (cache_dir() / name).is_dir():
                (cache / name).symlink_to(cache_dir() / name)
        yield Path(folder)


def _settings(cell: Cell) -> dict[str, Any]:
    values = asdict(cell)
    del values["source"], values["picture"]
    return values


def _summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The medians, and how far each figure spreads over the runs."""
    steps = [seconds for run in runs for seconds in _warm(run["step_seconds"])]
    return {
        "dtype": runs[0]["dtype"],
        "runs": len(runs),
        "figures": _medians(run["figures"] for run in runs),
        "phase_peaks": _medians(run["phase_peaks"] for run in runs),
        "phase_ends": _medians(run["phase_ends"] for run in runs),
        "seconds": _medians(run["seconds"] for run in runs),
        "step_seconds": [run["step_seconds"] for run in runs],
        "step": {"median": statistics.median(steps), "least": min(steps), "most": max(steps)} if steps else None,
        "footprint": statistics.median(run["footprint"] for run in runs),
        "spread": {
            kind: {name: (min(found), max(found)) for name, found in _columns(run[kind] for run in runs)}
            for kind in ("figures", "seconds")
        },
    }


def _warm(steps: list[float]) -> list[float]:
    """Without the first, in which kernels are compiled and files come into the system's cache."""
    return steps[1:] or steps


def _medians(values: Iterable[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(found) for name, found in _columns(values)}


def _columns(values: Iterable[dict[str, float]]) -> Iterator[tuple[str, list[float]]]:
    rows = list(values)
    for name in rows[0]:
        yield name, [row[name] for row in rows]
