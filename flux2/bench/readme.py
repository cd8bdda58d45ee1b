"""Put the committed measurements into the README, between its markers: `python -m flux2.bench.readme`.

With --check nothing is written, and the exit code is 1 where the README says something else than the files.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flux2.architectures import ARCHITECTURES
from flux2.bench import speed_targets
from flux2.bench.comparison import Comparison
from flux2.bench.document import LEVELS
from flux2.bench.peers.race import timed
from flux2.bench.results import FOLDER, all_comparisons, machine, model_name, read_all
from flux2.bench.speed_targets import judge
from flux2.bench.tables import NONE, table
from flux2.bench.targets import MISSES

README = Path(__file__).parents[2] / "README.md"
_MARKERS = r"(<!-- measured: {name} -->\n).*?(<!-- end of {name} -->)"
_SHORT = {
    "transformer_active": "transformer in memory",
    "quantization_peak": "peak while loading",
    "generation_peak": "peak of a whole run",
    "text_encoding_peak": "peak while encoding",
    "decode_above_weights": "decode, above the weights",
}
"""Of the figures shown, in the order in which they are."""


def render(text: str) -> str:
    """The README with each marked part made anew from the files.

    Raises:
        ValueError: if a part has no markers.
    """
    for name, part in PARTS.items():
        pattern = re.compile(_MARKERS.format(name=re.escape(name)), re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{README.name} has no markers for {name!r}")
        content = part() or "Not measured yet."
        text = pattern.sub(lambda found, new=content: f"{found[1]}{new}\n{found[2]}", text)  # type: ignore[misc]
    return text


def memory_part() -> str:
    """A table per machine: ours in MiB with the document's in brackets, a row per figure and model."""
    machines: dict[str, list[Comparison]] = {}
    for report, figure, found in all_comparisons():
        if figure.key in _SHORT and report["synthetic"]:
            machines.setdefault(machine(report), []).append(found)
    parts = [f"On {name}:\n\n{_memory_table(found)}" for name, found in machines.items()]
    return "\n\n".join([*parts, _targets(), *_failures()])


def _memory_table(found: list[Comparison]) -> str:
    rows: dict[tuple[str, str], dict[str, str]] = {}
    order = {model: place for place, model in enumerate(ARCHITECTURES)}
    for figure in _SHORT:
        for each in sorted(found, key=lambda each: order[each.key.model]):
            key = each.key
            if key.figure != figure:
                continue
            size = f" {key.side}²" if figure == "decode_above_weights" else ""
            streamed = ", streamed" if key.residency == "streamed" else ""
            if streamed and figure != "generation_peak":
                continue
            title = (f"{_SHORT[figure]}{size}{streamed}", key.model)
            document = f" ({each.document:,.0f})" if each.document else ""
            rows.setdefault(title, {})[key.quantization] = f"{each.measured:,.0f}{document}"
    body = [(*title, *(cells.get(level, NONE) for level in LEVELS)) for title, cells in rows.items()]
    return table(("MiB", "model", *LEVELS), body)


def _targets() -> str:
    """How many targets are met, and how well everything was planned."""
    found = [each for report, _, each in all_comparisons() if report["synthetic"]]
    judged = [each for each in found if each.met is not None]
    planned = [abs(each.difference) for each in found if each.difference is not None and each.key.figure in _SHORT]
    missed = sum(not each.met for each in judged)
    sentence = f"Of {len(judged)} figures that a target was set for, {len(judged) - missed} reach it"
    plan = f"; `flux2 plan` is off by {max(1, math.ceil(max(planned)))} % at most." if planned else "."
    return sentence + plan


def _failures() -> list[str]:
    lines = [f"- {key.model} {key.quantization}, {_SHORT[key.figure]}: {why}" for key, why in MISSES.items()]
    return ["Missed:\n\n" + "\n".join(lines)] if lines else []


def speed_part() -> str:
    """A row per contender of every comparison with the peers: milliseconds, ratio, peak."""
    rows = []
    for report in read_all("peers"):
        work = report["work"]
        for part in ("step", "decode"):
            contenders = timed(report[part]["contenders"]) if part in report else []
            ours = next((row for row in contenders if row["name"] in _OURS), None)
            for row in contenders:
                peak = row["peak_above_weights"]
                rows.append(
                    (
                        f"{model_name(work)}, {part} {work['width']}×{work['height']}",
                        row["name"],
                        f"{1e3 * row['median']:,.0f}",
                        f"{row['median'] / ours['median']:.2f}" if ours else NONE,
                        NONE if peak is None else f"{peak / 2**20:,.0f}",
                        f"{report[part]['operations'] / row['median'] / 1e12:.3g}",
                        f"{row['relative_error']:.1e}" if row is not contenders[0] else NONE,
                        machine(report),
                    )
                )
    titles = ("work", "by", "ms", "× ours", "peak above weights, MiB", "TFLOP/s", "difference from the first", "on")
    return table(titles, rows) + _missed("peers")


_OURS = ("ours bf16", "ours")
"""What the others' times are compared with: of a step, of a decode."""


def scaling_part() -> str:
    """The plot of `flux2.bench.plot`, where it was drawn, and milliseconds: a row per size or count, by level."""
    plot = "![Seconds against tokens, steps, and pictures at once](flux2/bench/results/scaling.svg)\n\n"
    found: dict[tuple[str, str], dict[str, str]] = {}
    for report in read_all("scaling"):
        for row in report["rows"]:
            title = (f"{model_name(report)}, {_grown(row)}", machine(report))
            found.setdefault(title, {})[row["level"]] = f"{1e3 * row['median']:,.0f}"
    rows = [(work, *(levels.get(level, NONE) for level in LEVELS), on) for (work, on), levels in found.items()]
    return (plot if (FOLDER / "scaling.svg").exists() else "") + table(("ms", *LEVELS, "on"), rows)


def _grown(row: dict[str, Any]) -> str:
    """What is larger than in the smallest row of its part."""
    size = f"{row['side']}×{row['side']}"
    return {
        "tokens": f"step {size} ({row['tokens']:,} tokens)",
        "steps": f"{row['steps']} steps {size}",
        "batch": f"step of {row['batch']} pictures {size}",
        "passes": f"step of {row['passes']} passes {size}",
    }[row["part"]]


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
    """The goals that a kind of measurement misses, each with what is in the way."""
    missed = [(found, report) for report in read_all(kind) for found in judge(report) if not found.met]
    lines = [
        f"- {found.goal.model}, {found.goal.what}, on {machine(report)}: {found.value:.2f}, wanted {found.limit:g}. "
        + speed_targets.MISSES.get(found.goal, "")
        for found, report in missed
    ]
    return "\n\nMissed:\n\n" + "\n".join(lines) if lines else ""


PARTS: dict[str, Callable[[], str]] = {
    "memory": memory_part,
    "speed": speed_part,
    "bounds": bounds_part,
    "scaling": scaling_part,
}
"""By the name in the markers."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.readme", description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the README is out of date")
    args = parser.parse_args(arguments)
    text = README.read_text(encoding="utf-8")
    new = render(text)
    if args.check:
        return int(new != text)
    README.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
