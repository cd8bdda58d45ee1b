"""How the time and memory of a step grow with the picture: `python -m flux2.bench.scaling`.

One transformer with random weights of the true size, a step at each size, at each level; the median of the rounds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from flux2 import cpu_blas
from flux2.architectures import ARCHITECTURES, scaled_down
from flux2.bench.conditions import read_conditions
from flux2.bench.document import LEVELS
from flux2.bench.peers import ours
from flux2.bench.peers.arithmetic import step_operations
from flux2.bench.peers.contender import TEXT_TOKENS, Work
from flux2.bench.peers.race import race
from flux2.bench.tables import table
from flux2.checkpoint.networks import TRANSFORMER
from flux2.mlx_backend import default_dtype, mx

SIDES = (512, 768, 1024, 1280, 1536, 2048)
"""Pixels."""


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    cpu_blas.use_all_cores(args.divisor == 1)  # small matrices are faster with one thread
    report: dict[str, Any] = {
        "format": 1,
        "command": " ".join(["python -m flux2.bench.scaling", *(arguments or sys.argv[1:])]),
        "conditions": read_conditions(),
        "model": args.model,
        "divisor": args.divisor,
        "dtype": args.dtype or default_dtype(),
        "batch": 1,
        "text_tokens": args.tokens,
        "rounds": args.rounds,
        "rows": [],
    }
    for level in args.transformer_quant:
        for row in _measure(args, level, report["dtype"]):
            report["rows"].append(row)
            print(f"flux2: {level} {row['side']}²: {1e3 * row['median']:,.1f} ms", file=sys.stderr, flush=True)
        mx.clear_cache()
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(report))
    return 0


def _measure(args: argparse.Namespace, level: str, dtype: str) -> Iterator[dict[str, Any]]:
    """A row per size."""
    architecture = scaled_down(ARCHITECTURES[args.model], args.divisor)
    first = Work(
        model=args.model,
        architecture=architecture,
        divisor=args.divisor,
        height=args.sides[0],
        width=args.sides[0],
        dtype=dtype,
        text_tokens=args.tokens,
    )
    works = [replace(first, height=side, width=side) for side in args.sides]
    network = ours.load(first, TRANSFORMER, level)
    for side, work in zip(args.sides, works, strict=True):
        (row,) = race([ours.step_of(network, work, level)], args.rounds)
        kept = ("median", "least", "most", "peak_above_weights", "first_seconds")
        facts = {"level": level, "side": side, "tokens": work.tokens, "operations": step_operations(work)}
        yield facts | {name: row[name] for name in kept}


def as_markdown(report: dict[str, Any]) -> str:
    """A row per size, its tokens being the picture's and the 512 of the text."""
    rows = [
        (
            row["level"],
            f"{row['side']}×{row['side']}",
            f"{row['tokens']:,}",
            f"{1e3 * row['median']:,.1f}",
            f"{1e3 * row['least']:,.1f} – {1e3 * row['most']:,.1f}",
            f"{1e6 * row['median'] / row['tokens']:,.1f}",
            f"{row['operations'] / row['median'] / 1e12:.3g}",
            f"{row['peak_above_weights'] / 2**20:,.0f}",
        )
        for row in report["rows"]
    ]
    titles = ("Level", "Size", "Tokens", "ms", "Least – most", "µs per token", "TFLOP/s", "Peak above weights, MiB")
    return f"## {report['model']}: one step, {report['text_tokens']} text tokens, batch 1\n\n{table(titles, rows)}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.scaling", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", choices=ARCHITECTURES, default="klein-4b", help="whose sizes (default: klein-4b)")
    add("--divisor", type=int, default=1, metavar="N", help="make the network N times smaller, for a trial")
    sides = ",".join(map(str, SIDES))
    add("--sides", type=_numbers, default=SIDES, metavar="A,B", help=f"of the pictures, pixels (default: {sides})")
    add("--transformer-quant", type=_names, default=LEVELS, metavar="A,B", help="levels (default: all)")
    add("--tokens", type=int, default=TEXT_TOKENS, metavar="N", help=f"of text (default: {TEXT_TOKENS})")
    add("--dtype", choices=("bfloat16", "float32"), help="what is computed in (default: the backend's best)")
    add("--rounds", type=int, default=10, metavar="N", help="steps at each size (default: 10)")
    add("--json", type=Path, metavar="FILE", help="write everything measured there")
    return parser


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(",")))


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
