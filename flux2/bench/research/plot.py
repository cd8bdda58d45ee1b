"""Draw how denoising grows with the work, as was measured: `python -m flux2.bench.research.plot [FILE.svg]`.

Needs matplotlib: `pip install ".[plot]"`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from flux2.bench.document import LEVELS
from flux2.bench.research.recorded import FOLDER, machine, model_name, read_all

SIZE = (9.0, 2.9)
"""Inches of a row of panels."""
PANELS = (
    ("one step", "tokens, of text and picture", {"tokens": "-"}),
    ("a whole denoising", "steps", {"steps": "-"}),
    ("one step", "pictures at once (—), passes (- -)", {"batch": "-", "passes": "--"}),
)
"""Title, what grows, and by which part of the measurements with which line."""
_COLOURS = {level: f"C{number}" for number, level in enumerate(LEVELS)}
"""matplotlib's own, in their order."""


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    """Seconds against what grows: a row of panels per model and machine, a line per level.

    Raises:
        ImportError: without matplotlib.
        OSError: if the file can't be written.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "flux2"  # the same file for the same figures
    mpl.rcParams["font.size"] = 8
    from matplotlib import pyplot

    groups: dict[str, list[dict[str, Any]]] = {}
    for report in reports:
        groups.setdefault(f"{model_name(report)} on {machine(report)}", []).extend(report["rows"])
    width, height = SIZE
    figure = pyplot.figure(figsize=(width, height * len(groups)), layout="constrained", facecolor="white")
    for band, (title, rows) in zip(figure.subfigures(len(groups), 1, squeeze=False)[:, 0], groups.items(), strict=True):
        band.suptitle(title, fontweight="bold")
        for axes, panel in zip(band.subplots(1, len(PANELS)), PANELS, strict=True):
            _draw_panel(axes, rows, panel)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _draw_panel(axes: Any, rows: list[dict[str, Any]], panel: tuple[str, str, dict[str, str]]) -> None:
    title, grows, parts = panel
    for part, line in parts.items():
        for level in LEVELS:
            points = sorted((row[part], row["median"]) for row in rows if (row["part"], row["level"]) == (part, level))
            if points:
                label = level if line == "-" else "_"
                style = {"marker": "o", "markersize": 3, "color": _COLOURS[level], "linestyle": line, "label": label}
                axes.plot(*zip(*points, strict=True), **style)
    axes.set(title=title, xlabel=grows, ylabel="seconds", xlim=(0, None), ylim=(0, None))
    axes.grid(alpha=0.3)
    if axes.lines:
        axes.legend()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.research.plot", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, nargs="?", default=FOLDER / "scaling.svg", metavar="FILE.svg")
    args = parser.parse_args(arguments)
    reports = read_all("scaling")
    if not reports:
        print(f"flux2: {FOLDER} holds no measurement of python -m flux2.bench.research.scaling", file=sys.stderr)
        return 1
    draw(reports, args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
