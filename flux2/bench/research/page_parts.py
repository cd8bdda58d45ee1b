"""The parts of the page of measurements (`flux2.bench.research.readme`) that follow from the committed files."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator
from typing import Any

from flux2.architecture.published import ARCHITECTURES
from flux2.bench.comparison import Comparison
from flux2.bench.document import LEVELS, SIZE
from flux2.bench.findings import reduction, streaming, what_fits
from flux2.bench.research import speed_targets
from flux2.bench.research.older import all_older
from flux2.bench.research.peers.race import timed
from flux2.bench.research.recorded import FOLDER, all_comparisons, machine, model_name, read_all
from flux2.bench.research.speed_targets import judge
from flux2.bench.tables import NONE, table
from flux2.bench.targets import MISSES

_SHORT = {
    "transformer_active": "transformer in memory",
    "quantization_peak": "peak while loading",
    "generation_peak": "peak of a whole run",
    "text_encoding_peak": "peak while encoding",
    "decode_above_weights": "decode, above the weights",
}
"""Names of the figures shown, in their order."""


def memory_part() -> str:
    """A table per machine: ours in MiB with the document's in brackets, a row per figure and model."""
    machines: dict[str, list[Comparison]] = {}
    for report, figure, found in all_comparisons():
        if figure.key in _SHORT and report["synthetic"]:
            machines.setdefault(machine(report), []).append(found)
    parts = [f"On {name}:\n\n{_memory_table(found)}{_findings(name)}" for name, found in machines.items()]
    return "\n\n".join([*parts, targets(), *_failures()])


def _findings(name: str) -> str:
    """What all measurements of a machine at the document's size bear out."""
    reports = [report for report in read_all("bench") if report["synthetic"] and machine(report) == name]
    cells = [cell for report in reports for cell in report["cells"] if (cell["width"], cell["height"]) == (SIZE, SIZE)]
    lines = [f"- {line}" for find in (reduction, streaming, what_fits) for line in find({"cells": cells})]
    return "\n\n" + "\n".join(lines) if lines else ""


def _memory_table(found: list[Comparison]) -> str:
    rows: dict[tuple[str, str], dict[str, str]] = {}
    order = {model: place for place, model in enumerate(ARCHITECTURES)}
    for figure in _SHORT:
        for each in sorted(found, key=lambda each: order[each.key.model]):
            key = each.key
            if key.figure != figure:
                continue
            another_size = figure == "generation_peak" and key.side != SIZE
            size = f" {key.side}²" if figure == "decode_above_weights" or another_size else ""
            streamed = ", streamed" if key.residency == "streamed" else ""
            if streamed and figure != "generation_peak":
                continue
            title = (f"{_SHORT[figure]}{size}{streamed}", key.model)
            document = f" ({each.document:,.0f})" if each.document else ""
            rows.setdefault(title, {})[key.quantization] = f"{each.measured:,.0f}{document}"
    levels = _measured_levels(rows.values())
    body = [(*title, *(cells.get(level, NONE) for level in levels)) for title, cells in rows.items()]
    return table(("MiB", "model", *levels), body)


def _measured_levels(rows: Iterable[Container[str]]) -> list[str]:
    """The columns of a table: the levels that one of its rows has."""
    found = list(rows)
    return [level for level in LEVELS if any(level in row for row in found)]


def targets() -> str:
    """How many targets are met, and how well everything was planned."""
    found = [each for report, _, each in all_comparisons() if report["synthetic"]]
    judged = [each for each in found if each.met is not None]
    planned: dict[bool, list[float]] = {True: [], False: []}
    for each in found:
        if each.difference is not None and each.key.figure in _SHORT:
            planned[each.key.figure == "generation_peak"].append(abs(each.difference))
    missed = sum(not each.met for each in judged)
    sentence = f"Of {len(judged)} figures that a target was set for, {len(judged) - missed} reach it"
    run, phase = (max(1, math.ceil(max(planned[of_run], default=0))) for of_run in (True, False))
    return f"{sentence}; `flux2 plan` is off by {run} % at most in a run's peak, and by {phase} % in a single phase's."


def _failures() -> list[str]:
    lines = [f"- {key.model} {key.quantization}, {_SHORT[key.figure]}: {why}" for key, why in MISSES.items()]
    return ["Missed:\n\n" + "\n".join(lines)] if lines else []


_CONTENDERS = ("ours bf16", "ours qint8", "ours int4", "diffusers", "mflux bf16", "mflux bf16 compiled")
"""Those shown, in this order; the first is what the others' times are compared with. A decode has "ours" alone."""
_EXACT = "ours float32"


def speed_part() -> str:
    """A table per machine, a column per contender: milliseconds and their ratio to ours, and peaks."""
    machines: dict[str, list[dict[str, Any]]] = {}
    for report in read_all("peers"):
        machines.setdefault(machine(report), []).append(report)
    parts = [f"On {name}:\n\n{_speed_table(reports)}" for name, reports in machines.items()]
    return "\n\n".join([*parts, *_distances()]) + _missed("peers")


def _speed_table(reports: list[dict[str, Any]]) -> str:
    times: dict[str, dict[str, str]] = {}
    peaks: dict[str, dict[str, str]] = {}
    for report in reports:
        work = report["work"]
        for part in ("step", "decode"):
            rows = {_shown(row["name"]): row for row in timed(report.get(part, {}).get("contenders", []))}
            if _EXACT in rows or _CONTENDERS[0] not in rows:
                continue
            title = f"{model_name(work)}, {part} {work['width']}×{work['height']}"
            for name, row in rows.items():
                ratio = row["median"] / rows[_CONTENDERS[0]]["median"]
                bracket = "" if name == _CONTENDERS[0] else f" ({ratio:.2f})"
                times.setdefault(title, {})[name] = f"{1e3 * row['median']:,.0f}{bracket}"
                if row["peak_above_weights"] is not None:
                    peak = f"{row['peak_above_weights'] / 2**20:,.0f}"
                    peaks.setdefault(f"MiB above the weights: {title}", {})[name] = peak
    order = {model: place for place, model in enumerate(ARCHITECTURES)}
    found = sorted({**times, **peaks}.items(), key=lambda each: (each[0] not in times, order.get(_model(each[0]), 0)))
    body = [(title, *(cells.get(name, NONE) for name in _CONTENDERS)) for title, cells in found]
    return table(("ms (× ours in bf16)", *_CONTENDERS), body)


def _shown(name: str) -> str:
    return _CONTENDERS[0] if name == "ours" else name


def _model(title: str) -> str:
    return title.rpartition(": ")[2].partition(",")[0]


def _distances() -> Iterator[str]:
    """How far ours and diffusers' steps are from exact arithmetic."""
    found = []
    for report in read_all("peers"):
        rows = {row["name"]: row for row in timed(report.get("step", {}).get("contenders", []))}
        if next(iter(rows), None) == _EXACT:
            others = [f"{name} {row['relative_error']:.1%}" for name, row in rows.items() if name != _EXACT]
            found.append(f"{model_name(report['work'])}: {', '.join(others)}")
    if found:
        yield f"Distance from the same step in float32 (`--only ours-float32,diffusers`): {'; '.join(found)}."


def scaling_part() -> str:
    """The plot of `flux2.bench.research.plot`, where it was drawn, and milliseconds: a row per what grows, by level."""
    plot = "![Seconds against tokens, steps, and pictures at once](scaling.svg)\n\n"
    found: dict[tuple[str, str], dict[str, list[str]]] = {}
    counts: dict[tuple[str, str], list[int]] = {}
    for report in read_all("scaling"):
        for row in report["rows"]:
            key = (f"{model_name(report)}, {_GROWN[row['part']]}", machine(report))
            found.setdefault(key, {}).setdefault(row["level"], []).append(f"{1e3 * row['median']:,.0f}")
            count = row["side"] if row["part"] == "tokens" else row[row["part"]]
            if count not in counts.setdefault(key, []):
                counts[key].append(count)
    levels = _measured_levels(found.values())
    rows = [
        (f"{work}: {_listed(map(str, counts[work, on]))}", *(_listed(times.get(level, [])) for level in levels), on)
        for (work, on), times in found.items()
    ]
    return (plot if (FOLDER / "scaling.svg").exists() else "") + table(("ms", *levels, "on"), rows)


_GROWN = {
    "tokens": "one step, pixels of a side",
    "steps": "steps",
    "batch": "one step, pictures at once",
    "passes": "one step, passes of guidance",
}
"""What grows in each part of the measurement."""


def _listed(texts: Iterable[str]) -> str:
    return " · ".join(texts) or NONE


def bounds_part() -> str:
    """A row per phase: seconds beside the least that the machine could take."""
    rows = [
        (
            f"{model_name(report)}, {row['phase']}",
            f"{row['seconds']:.2f}",
            f"{row['bound']:.2f}",
            f"{row['seconds'] / row['bound']:.2f}",
            machine(report),
        )
        for report in read_all("bounds")
        for row in report["bounds"]
    ]
    return table(("phase", "s", "lower bound, s", "ratio", "on"), rows) + _missed("bounds")


def _missed(kind: str) -> str:
    """The goals that a kind of measurement misses, by what is in the way."""
    reasons: dict[tuple[str, str, str], list[str]] = {}
    for report in read_all(kind):
        for found in judge(report):
            if not found.met:
                where = speed_targets.MISSES.get(found.goal, ""), machine(report), found.goal.model
                reasons.setdefault(where, []).append(f"{found.goal.what} {found.value:.3g} (wanted {found.limit:g})")
    lines = [
        f"- {model}, {on}: {'; '.join(goals)}. {reason}".rstrip() for (reason, on, model), goals in reasons.items()
    ]
    return "\n\nMissed:\n\n" + "\n".join(lines) if lines else ""


def older_part() -> str:
    """A row per commit: the files measured with its engine, of those that are older than this one."""
    rows: dict[str, list[str]] = {}
    for name, commit in all_older().items():
        rows.setdefault(commit, []).append(f"`{name}`")
    body = [(f"`{commit}`", ", ".join(names)) for commit, names in rows.items()]
    return table(("measured at", "files"), body) or "None."
