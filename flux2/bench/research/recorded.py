"""The measurements that are kept with the source: what the pages show and the tests hold to the targets."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flux2.bench.comparison import Comparison, compare, measured_cells
from flux2.bench.document import Figure

FOLDER = Path(__file__).parents[1] / "results"
_KINDS = {"cells": "bench", "rows": "scaling", "step": "peers", "decode": "peers", "bounds": "bounds"}
"""Which program wrote a file, by a key that only it writes."""


def read_all(kind: str, folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Reports of one program ("bench", "peers", "scaling" or "bounds"), in the order of their files' names."""
    return [report for report in read_files(folder).values() if kind_of(report) == kind]


def read_files(folder: Path = FOLDER) -> dict[str, dict[str, Any]]:
    """Every report by its file's name, in order."""
    return {path.name: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def kind_of(report: dict[str, Any]) -> str:
    """The program that wrote a report: "bench", "peers", "scaling" or "bounds"."""
    return _KINDS[next(key for key in _KINDS if key in report)]


def all_comparisons(folder: Path = FOLDER) -> Iterator[tuple[dict[str, Any], Figure, Comparison]]:
    """Every memory figure of every bench, with the report it is in."""
    for report in read_all("bench", folder):
        for cell in measured_cells(report):
            for figure, found in compare(report, cell):
                yield report, figure, found


def machine(report: dict[str, Any]) -> str:
    """What computed, in a few words: "NVIDIA H200 (MLX 0.32.4)", "2 cores of AMD EPYC (MLX 0.32.4)"."""
    facts = report["conditions"]
    cores = f"{facts['cores']} cores of " if facts["backend"] == "cpu" else ""
    return f"{cores}{facts['device']} (MLX {facts['versions']['mlx']})"


def model_name(facts: dict[str, Any]) -> str:
    """Name of the model whose sizes were measured: "klein-4b", "klein-4b ÷ 4"."""
    return f"{facts['model']} ÷ {facts['divisor']}" if facts["divisor"] > 1 else str(facts["model"])
