"""The few figures that README shows, out of the committed files: `flux2.bench.research.readme`."""

from __future__ import annotations

from typing import Any

from flux2.bench.document import SIZE
from flux2.bench.research.page_parts import targets
from flux2.bench.research.peers.race import timed
from flux2.bench.research.recorded import all_comparisons, machine, read_all
from flux2.bench.tables import Row, table

_PEAKS = (("klein-4b", "int4", "resident"), ("dev", "int4", "resident"), ("dev", "bf16", "streamed"))
"""Model, level and residency of the whole runs that are shown."""
_RACE = ("klein-4b", "gpu")
_NEXT = ("diffusers", "mflux bf16 compiled")


def telling_part() -> str:
    """Peaks of whole runs, a step beside other programs', and how well all was planned."""
    return f"{table(('what', 'figure', 'on', 'at commit'), [*_peaks(), _step()])}\n\n{targets()}"


def _peaks() -> list[Row]:
    found = {}
    for report, _, each in all_comparisons():
        key = each.key
        if key.figure == "generation_peak" and key.side == SIZE and report["synthetic"]:
            document = f" ({each.document:,.0f})" if each.document else ""
            shown = f"{each.measured:,.0f} MiB{document}"
            found[key.model, key.quantization, key.residency] = shown, machine(report), _commit(report)
    rows: list[Row] = []
    for model, level, residency in _PEAKS:
        streamed = ", streamed from the disk" if residency == "streamed" else ""
        rows.append((f"peak of a whole run, {SIZE}×{SIZE}, {model} {level}{streamed}", *found[model, level, residency]))
    return rows


def _step() -> Row:
    model, backend = _RACE
    for report in read_all("peers"):
        rows = {row["name"]: row["median"] for row in timed(report.get("step", {}).get("contenders", []))}
        if (report["work"]["model"], report["conditions"]["backend"]) == _RACE and {"ours bf16", *_NEXT} <= rows.keys():
            ours = rows["ours bf16"]
            others = ", ".join(f"{name} × {rows[name] / ours:.2f}" for name in _NEXT)
            size = f"{report['work']['width']}×{report['work']['height']}"
            return (
                f"one step, {size}, {model} bf16",
                f"{1e3 * ours:,.0f} ms; {others}",
                machine(report),
                _commit(report),
            )
    raise ValueError(f"no race of {model} on a {backend} has {', '.join(_NEXT)}")


def _commit(report: dict[str, Any]) -> str:
    return f"`{report['conditions']['commit']}`"
