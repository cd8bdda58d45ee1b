"""A bench's report as Markdown: the document's tables, with its figures, ours and the ratio."""

from __future__ import annotations

from typing import Any

from flux2.bench.document import FIGURES, LEVELS, SIZE, Figure, document_figure

_MIB = 2**20


def as_markdown(report: dict[str, Any]) -> str:
    """The tables of every figure that was measured, then seconds, what failed, and the conditions."""
    failed = [f"- {cell['error']}" for cell in report["cells"] if "error" in cell]
    report = {**report, "cells": [cell for cell in report["cells"] if "error" not in cell]}
    parts = [_table(figure, report) for figure in FIGURES if _cells(figure, report)]
    if report["cells"]:
        parts.append(_seconds(report))
    if failed:
        parts.append("\n".join(["## Not measured", "", *failed]))
    return "\n\n".join([*parts, _conditions(report)]) + "\n"


def _cells(figure: Figure, report: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """Those in which the figure was measured, by model and quantization."""
    return {(cell["model"], cell["quantization"]): cell for cell in report["cells"] if figure.key in cell["figures"]}


def _table(figure: Figure, report: dict[str, Any]) -> str:
    """Ours in MiB and, in brackets, the document's and the ratio."""
    cells = _cells(figure, report)
    models = list(dict.fromkeys(model for model, _ in cells))
    levels = [level for level in LEVELS if any(found == level for _, found in cells)]
    lines = [f"## {figure.title}, MiB", "", _row("Model", *levels), _row(*["---"] * (len(levels) + 1))]
    lines += [_row(model, *(_entry(figure, cells.get((model, level))) for level in levels)) for model in models]
    return "\n".join(lines)


def _entry(figure: Figure, cell: dict[str, Any] | None) -> str:
    if cell is None:
        return "–"
    ours = cell["figures"][figure.key] / _MIB
    comparable = not figure.of_size or cell["width"] == cell["height"] == SIZE
    theirs = document_figure(figure, cell["model"], cell["quantization"]) if comparable else None
    return f"{ours:,.0f} (document {theirs:,}, × {ours / theirs:.2f})" if theirs else f"{ours:,.0f}"


def _seconds(report: dict[str, Any]) -> str:
    lines = ["## Seconds", "", _row("Model", "Level", "Phase", "Median", "Least – most")]
    lines.append(_row(*["---"] * 5))
    for cell in report["cells"]:
        for phase, median in cell["seconds"].items():
            least, most = cell["spread"]["seconds"][phase]
            lines.append(_row(cell["model"], cell["quantization"], phase, f"{median:.2f}", f"{least:.2f} – {most:.2f}"))
    return "\n".join(lines)


def _conditions(report: dict[str, Any]) -> str:
    facts = report["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    weights = "synthetic (zeros of the real size)" if report["synthetic"] else "the published weights"
    if report["divisor"] != 1:
        weights += f", divided by {report['divisor']}"
    lines = [
        "## Conditions",
        "",
        f"- {facts['chip']}, {facts['cores']} cores, {facts['physical_memory'] / _MIB:,.0f} MiB; {facts['os']}",
        f"- computed on {facts['device']} ({facts['backend']}); {versions}; Python {facts['python']}",
        f"- weights: {weights}; commit {facts['commit'] or 'unknown'}; {facts['date']}",
        f"- load average {', '.join(map(str, facts['load_average']))}; GPU busy: {_percent(facts['gpu_busy_percent'])}",
    ]
    lines += [f"- {line}" for line in dict.fromkeys(_cell_line(cell) for cell in report["cells"])]
    return "\n".join(lines)


def _cell_line(cell: dict[str, Any]) -> str:
    size = (
        f"{cell['width']}×{cell['height']}, {cell['steps'] or 'default'} steps, " if "generate" in cell["parts"] else ""
    )
    tokens = f"{cell['tokens'] or 'all'} text tokens, " if set(cell["parts"]) & {"encode", "generate"} else ""
    return f"{', '.join(cell['parts'])}: {size}{tokens}{cell['dtype'] or 'default dtype'}, {cell['runs']} runs each"


def _percent(value: int | None) -> str:
    return "unknown" if value is None else f"{value} %"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
