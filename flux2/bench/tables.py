"""A bench's report as Markdown: the document's tables with ours beside, then everything measured, and on what."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from flux2.bench.comparison import MIB, Comparison, compare, measured_cells
from flux2.bench.document import FIGURES, HARDWARE, LEVELS, MINIMUM_RAM, Figure, entry
from flux2.bench.findings import find_all
from flux2.pictures.similarity import Similarity
from flux2.planning.budget import MACHINES, machine_limit

NONE = "–"
Row = tuple[str, ...]
_Compared = list[tuple[Figure, Comparison]]


def as_markdown(report: dict[str, Any]) -> str:
    """The tables of every figure that was measured, seconds, findings, what failed, and the conditions."""
    compared = [pair for cell in measured_cells(report) for pair in compare(report, cell)]
    parts = [document_table(figure, compared) for figure in FIGURES if any(found is figure for found, _ in compared)]
    parts += [minimum_ram_table(report), comparison_table(compared), likeness_table(report), seconds_table(report)]
    parts.append(_findings(report))
    failed = [f"- {cell['error']}" for cell in report["cells"] if "error" in cell]
    if failed:
        parts.append("\n".join(["## Not measured", "", *failed]))
    return "\n\n".join([*filter(None, parts), _conditions(report)]) + "\n"


def document_table(figure: Figure, compared: _Compared) -> str:
    """In the document's form, a row per model: ours in MiB and, in brackets, the document's and the ratio."""
    cells = {(_row_title(found), found.key.quantization): found for of, found in compared if of is figure}
    rows = list(dict.fromkeys(title for title, _ in cells))
    levels = [level for level in LEVELS if any(found == level for _, found in cells)]
    body = [(title, *(_entry(cells.get((title, level))) for level in levels)) for title in rows]
    return _section(f"{figure.title}, MiB", table(("Model", *levels), body))


def _row_title(found: Comparison) -> str:
    key = found.key
    return key.model if key.residency == "resident" else f"{key.model}, {key.residency}"


def _entry(found: Comparison | None) -> str:
    if found is None:
        return NONE
    if found.document is None:
        return f"{found.measured:,.0f}"
    return f"{found.measured:,.0f} (document {found.document:,.0f}, × {found.ratio:.2f})"


def minimum_ram_table(report: dict[str, Any]) -> str:
    """The smallest machine whose recommended working set holds the highest peak."""
    rows = []
    for cell in measured_cells(report):
        if "generation_peak" in cell["figures"]:
            smallest = _smallest_machine(cell["figures"]["generation_peak"])
            theirs = entry(MINIMUM_RAM, cell["model"], cell["quantization"])
            comparable = cell["residency"] == "resident" and report["divisor"] == 1
            document = f"{theirs} GB" if theirs and comparable else NONE
            ours = f"{smallest} GB" if smallest else "more than any"
            rows.append((cell["model"], cell["quantization"], cell["residency"], ours, document))
    return _section("Minimum RAM", table(("Model", "Level", "Residency", "Ours", "Document"), rows))


def _smallest_machine(peak: float) -> int | None:
    """GB; None if it fits none."""
    return next((gigabytes for gigabytes in MACHINES if peak <= machine_limit(gigabytes << 30)), None)


def comparison_table(compared: _Compared) -> str:
    """Every figure, with the planner's prediction and the target."""
    rows = []
    for _, found in compared:
        key = found.key
        rows.append(
            (
                key.figure.replace("_", " "),
                key.model,
                f"{key.quantization}, {key.residency}",
                f"{found.measured:,.0f}",
                f"{found.least:,.0f} – {found.most:,.0f}",
                _number(found.document),
                NONE if found.ratio is None else f"{found.ratio:.2f}",
                _number(found.planned),
                NONE if found.difference is None else f"{found.difference:+z.1f} %",
                NONE if found.target is None else f"≤ {found.target:,}",
                {None: NONE, True: "met", False: "**missed**"}[found.met],
            )
        )
    titles = ("Figure", "Model", "Level", "MiB", "Least – most", "Document", "Ratio", "Planned", "Off by", "Target", "")
    return _section("Measured, planned, wanted", table(titles, rows))


def likeness_table(report: dict[str, Any]) -> str:
    """How alike each picture is to the same model's at bf16, where a sheet was drawn of them."""
    rows = []
    for cell in measured_cells(report):
        if "likeness" in cell:  # where infinity is null, as JSON has none
            values = {name: math.inf if value is None else value for name, value in cell["likeness"].items()}
            rows.append(
                (cell["model"], f"{cell['quantization']}, {cell['residency']}", *Similarity(**values).figures())
            )
    return _section("Likeness to bf16", table(("Model", "Level", "PSNR, dB", "SSIM", "Texture"), rows))


def seconds_table(report: dict[str, Any]) -> str:
    rows = []
    for cell in measured_cells(report):
        name = (cell["model"], f"{cell['quantization']}, {cell['residency']}")
        for phase, median in cell["seconds"].items():
            rows.append((*name, phase, *_spread(median, *cell["spread"]["seconds"][phase])))
        if step := cell["step"]:
            rows.append((*name, "one step", *_spread(step["median"], step["least"], step["most"])))
    return _section("Seconds", table(("Model", "Level", "Phase", "Median", "Least – most"), rows))


def _spread(median: float, least: float, most: float) -> Row:
    return f"{median:.2f}", f"{least:.2f} – {most:.2f}"


def _findings(report: dict[str, Any]) -> str:
    findings = find_all(report)
    return "\n".join(["## Findings", "", *(f"- {finding}" for finding in findings)]) if findings else ""


def _conditions(report: dict[str, Any]) -> str:
    facts = report["conditions"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    weights = "synthetic (zeros of the real size)" if report["synthetic"] else "the published weights"
    if report["divisor"] != 1:
        weights += f", divided by {report['divisor']}"
    lines = [
        f"- `{report['command']}`",
        f"- {facts['chip']}, {facts['cores']} cores, {facts['physical_memory'] / MIB:,.0f} MiB; {facts['os']}",
        f"- computed on {facts['device']} ({facts['backend']}); {versions}; Python {facts['python']}",
        f"- weights: {weights}; commit {facts['commit'] or 'unknown'}; {facts['date']}",
        f"- load average {', '.join(map(str, facts['load_average']))}; GPU busy: {_percent(facts['gpu_busy_percent'])}",
        f"- the document's: {HARDWARE}",
        *(f"- {line}" for line in dict.fromkeys(map(_cell_line, report["cells"]))),
    ]
    return "\n".join(["## Conditions", "", *lines])


def _cell_line(cell: dict[str, Any]) -> str:
    parts = set(cell["parts"])
    size = f"{cell['width']}×{cell['height']}, " if parts & {"generate", "decode"} else ""
    steps = f"{cell['steps'] or 'default'} steps, " if "generate" in parts else ""
    tokens = f"{cell['tokens'] or 'all'} text tokens, " if parts & {"encode", "generate"} else ""
    runs = f", {cell['runs']} runs each" if "runs" in cell else ""
    return f"{', '.join(cell['parts'])}: {size}{steps}{tokens}{cell['dtype'] or 'default dtype'}{runs}"


def table(titles: Row, rows: Iterable[Row]) -> str:
    """A Markdown table; "" without rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}", *lines]) if lines else ""


def _section(title: str, content: str) -> str:
    return f"## {title}\n\n{content}" if content else ""


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:,.0f}"


def _percent(value: int | None) -> str:
    return "unknown" if value is None else f"{value} %"
