"""What a report's figures bear out, in sentences: each is made of numbers that are in the report, or not made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from flux2.bench.comparison import measured_cells
from flux2.bench.document import LEVELS
from flux2.humanize import size
from flux2.planning.budget import MACHINES, machine_limit

Cells = dict[tuple[str, str, str], dict[str, Any]]
"""Cells by model, quantization and residency."""


def find_all(report: dict[str, Any]) -> list[str]:
    """Every sentence that the report has the figures for."""
    return [sentence for find in _FINDINGS for sentence in find(report)]


def reduction(report: dict[str, Any]) -> Iterator[str]:
    """Sentences on the transformer's memory at each level, against the same model's bf16."""
    cells = _cells(report, "transformer_active")
    for level in LEVELS[1:]:
        found = []
        for (model, quantization, residency), cell in cells.items():
            whole = cells.get((model, LEVELS[0], residency))
            if quantization == level and residency == "resident" and whole:
                ratio = cell["figures"]["transformer_active"] / whole["figures"]["transformer_active"]
                found.append(f"{model} {100 * (ratio - 1):+z.0f} %")
        if found:
            yield f"{level} against bf16, transformer in memory: {', '.join(found)}."


def _time(report: dict[str, Any]) -> Iterator[str]:
    """Sentences on the time of a step at each level, against the same model's bf16."""
    cells = _stepping(report)
    for level in LEVELS[1:]:
        found = []
        for (model, quantization, residency), cell in cells.items():
            whole = cells.get((model, LEVELS[0], residency))
            if quantization == level and residency == "resident" and whole:
                found.append(f"{model} × {cell['step']['median'] / whole['step']['median']:.2f}")
        if found:
            yield f"{level} against bf16, seconds per step: {', '.join(found)}."


def streaming(report: dict[str, Any]) -> Iterator[str]:
    """Sentences on the time of a streamed step, against the same level resident."""
    cells = _stepping(report)
    for (model, level, residency), cell in cells.items():
        resident = cells.get((model, level, "resident"))
        if residency == "streamed" and resident:
            ratio = cell["step"]["median"] / resident["step"]["median"]
            yield f"{model} {level}: a step with the blocks streamed takes × {ratio:.2f} of a resident one."


def _peak_phase(report: dict[str, Any]) -> Iterator[str]:
    """Which phase sets the peak."""
    for cell in measured_cells(report):
        if "generation_peak" in cell["figures"]:
            phase = max(cell["phase_peaks"], key=cell["phase_peaks"].__getitem__)
            peak = size(cell["figures"]["generation_peak"])
            yield f"{cell['model']} {cell['quantization']}, {cell['residency']}: the peak, {peak}, is in {phase}."


def what_fits(report: dict[str, Any]) -> Iterator[str]:
    """What can be run on a Mac with so much memory, by the working set that Metal recommends there."""
    left = [cell for cell in measured_cells(report) if "generation_peak" in cell["figures"]]
    left.sort(key=lambda cell: cell["figures"]["generation_peak"])
    for gigabytes in MACHINES if left else ():
        limit = machine_limit(gigabytes << 30)
        fitting = [cell for cell in left if cell["figures"]["generation_peak"] <= limit]
        left = [cell for cell in left if cell not in fitting]
        if fitting:
            names = (f"{cell['model']} {cell['quantization']}{_how(cell)}" for cell in fitting)
            yield f"From {gigabytes} GB on: {', '.join(names)}."


def _how(cell: dict[str, Any]) -> str:
    return " streamed" if cell["residency"] == "streamed" else ""


_FINDINGS: tuple[Callable[[dict[str, Any]], Iterator[str]], ...] = (
    reduction,
    _time,
    streaming,
    _peak_phase,
    what_fits,
)


def _stepping(report: dict[str, Any]) -> Cells:
    return {
        (cell["model"], cell["quantization"], cell["residency"]): cell
        for cell in measured_cells(report)
        if cell["step"]
    }


def _cells(report: dict[str, Any], figure: str) -> Cells:
    return {
        (cell["model"], cell["quantization"], cell["residency"]): cell
        for cell in measured_cells(report)
        if figure in cell["figures"]
    }
