"""`flux2 bench`: the benchmark document's memory tables, measured on this machine."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from flux2.bench.document import LEVELS, MODELS, SIZE

_DESCRIPTION = """\
Measure what each model takes at each level, every cell in a process of its own, and print the tables of the
benchmark document with its figures beside ours. Nothing that was cached is used."""

_EXAMPLES = """\
examples:
  flux2 bench --model klein-4b --transformer-quant int4
  flux2 bench --synthetic --part load --json bench.json
  flux2 bench --synthetic --part encode --tokens 64"""

_PARTS = {
    "encode": "the prompt through the text encoder",
    "load": "the transformer loaded and quantized",
    "generate": "whole pictures, all of that included",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure memory and time of the models on this machine",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "--model",
        action="append",
        metavar="MODEL",
        help=f"repeat for several (default: those of {', '.join(MODELS)} that run)",
    )
    add("--transformer-quant", action="append", choices=LEVELS, help="repeat for several (default: all)")
    parts = "; ".join(f"{name}: {what}" for name, what in _PARTS.items())
    add("--part", action="append", choices=_PARTS, help=f"repeat for several (default: encode and load). {parts}")
    add("--synthetic", action="store_true", help="use zeros of the models' real size: no download, and no disk")
    add("--divisor", type=int, default=1, metavar="N", help="make the synthetic models N times smaller, for a trial")
    add("--width", type=int, default=SIZE, metavar="W", help=f"of the pictures, pixels (default: {SIZE})")
    add("--height", type=int, default=SIZE, metavar="H", help=f"of the pictures, pixels (default: {SIZE})")
    add("--steps", type=int, metavar="N", help="denoising steps (default: the model's)")
    add("--tokens", type=int, metavar="N", help="text tokens (default: the model's)")
    add("--dtype", choices=("bfloat16", "float16", "float32"), help="what is computed in (default: the backend's best)")
    add("--runs", type=int, default=1, metavar="N", help="processes per cell; their medians are shown (default: 1)")
    add("--json", type=Path, metavar="FILE", help="write the report there, too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from flux2.bench.cell import Cell
    from flux2.bench.memory import BenchPlan, run_bench
    from flux2.bench.tables import as_markdown
    from flux2.errors import RequestError
    from flux2.images import check_writable

    if args.runs < 1:
        raise RequestError(f"{args.runs} runs are too few; choose 1 or more.")
    if args.json:
        check_writable(args.json)
    cell = Cell(source="", dtype=args.dtype, width=args.width, height=args.height, steps=args.steps, tokens=args.tokens)
    plan = BenchPlan(
        models=tuple(args.model or (model for model in MODELS if _runs_here(model))),
        quantizations=tuple(args.transformer_quant or LEVELS),
        parts=tuple(args.part or ("encode", "load")),
        synthetic=args.synthetic,
        divisor=args.divisor,
        runs=args.runs,
        cell=cell,
    )
    report = run_bench(plan, say=lambda line: print(f"flux2: {line}", file=sys.stderr))
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(as_markdown(report), end="")
    return int(any("error" in cell for cell in report["cells"]))


def _runs_here(model: str) -> bool:
    """Whether the engine has this model's pipeline."""
    from flux2.architectures import ARCHITECTURES
    from flux2.checkpoint.layout import PIPELINES

    return ARCHITECTURES[model].index["_class_name"] in PIPELINES
