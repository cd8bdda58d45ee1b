"""Draw how a step grows with the picture, from the committed measurements: `python -m flux2.bench.plot FILE.svg`.

Needs matplotlib: `pip install ".[plot]"`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from flux2.bench.document import LEVELS
from flux2.bench.results import FOLDER, machine, read_all

SIZE = (7.0, 3.2)  # inches


def draw(reports: list[dict[str, Any]], path: Path) -> None:
    """Seconds and memory of a step against its tokens, a line per level, every model and machine in its own style.

    Raises:
        ImportError: without matplotlib.
        OSError: if the file can't be written.
    """
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "flux2"  # the same file for the same figures
    from matplotlib import pyplot

    figure, (seconds, memory) = pyplot.subplots(1, 2, figsize=SIZE, layout="constrained")
    for number, report in enumerate(reports):
        for level in LEVELS:
            rows = [row for row in report["rows"] if row["level"] == level]
            if not rows:
                continue
            tokens = [row["tokens"] for row in rows]
            label = f"{report['model']} {level}, {machine(report)}"
            style = {"marker": "o", "markersize": 3, "linestyle": ("-", "--", ":", "-.")[number % 4], "label": label}
            seconds.plot(tokens, [row["median"] for row in rows], **style)
            memory.plot(tokens, [row["peak_above_weights"] / 2**20 for row in rows], **style)
    for axes, title in ((seconds, "seconds per step"), (memory, "MiB above the weights")):
        axes.set(title=title, xlabel="tokens, of text and picture", xlim=0, ylim=0)
        axes.grid(alpha=0.3)
    seconds.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.plot", description=__doc__.partition("\n")[0])
    parser.add_argument("file", type=Path, metavar="FILE.svg")
    args = parser.parse_args(arguments)
    reports = read_all("scaling")
    if not reports:
        print(f"flux2: {FOLDER} holds no measurement of python -m flux2.bench.scaling", file=sys.stderr)
        return 1
    draw(reports, args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
