"""`flux2 bench`: the benchmark document's tables, measured on this machine."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from flux2.architecture.limits import DTYPE_BYTES
from flux2.backend.awake import kept_awake
from flux2.bench.document import LEVELS, MODELS, PROMPT, SEED, SIZE
from flux2.inputs.checks import RESIDENCIES

_DESCRIPTION = f"""\
Measure what each model takes at each level, every cell in a process of its own, and print the tables of the
benchmark document with its figures, the planner's and the targets beside ours. Nothing that was cached is used.
The prompt is the document's, "{PROMPT}", seed {SEED}."""

_EXAMPLES = """\
examples:
  flux2 bench --model klein-4b --transformer-quant int4
  flux2 bench --synthetic --part load --json bench.json
  flux2 bench --synthetic --model klein-4b,dev --part generate --residency resident,streamed --steps 2
  flux2 bench --synthetic --model klein-4b --part decode --width 2048 --height 2048
  flux2 bench --model pocket --part generate --runs 3 --sheet pocket.png"""

_PARTS = {
    "encode": "the prompt through the text encoder",
    "load": "the transformer loaded and quantized",
    "generate": "whole pictures, all of that included",
    "decode": "random latents through the autoencoder, nothing else in memory",
}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    parts = "; ".join(f"{name}: {what}" for name, what in _PARTS.items())
    for option, known, text in (
        ("--model", (), f"catalog names, folders or repositories (default: {','.join(MODELS)})"),
        ("--transformer-quant", LEVELS, f"of {','.join(LEVELS)} (default: all)"),
        ("--residency", RESIDENCIES, f"of {','.join(RESIDENCIES)} (default: resident)"),
        ("--part", tuple(_PARTS), f"what to measure (default: encode,load). {parts}"),
    ):
        add(option, type=_names(known), action="extend", metavar="A,B", help=text)
    add("--synthetic", action="store_true", help="use zeros of the models' real size: no download, and no disk")
    add("--divisor", type=int, default=1, metavar="N", help="make the synthetic models N times smaller, for a trial")
    add("--width", type=int, metavar="W", help=f"of the pictures, pixels (default: {SIZE}; pocket's own)")
    add("--height", type=int, metavar="H", help=f"of the pictures, pixels (default: {SIZE}; pocket's own)")
    add("--steps", type=int, metavar="N", help="denoising steps (default: the model's); no memory depends on them")
    add("--tokens", type=int, metavar="N", help="text tokens (default: the model's)")
    add("--dtype", choices=tuple(DTYPE_BYTES), help="what is computed in (default: the backend's best)")
    add("--runs", type=int, default=1, metavar="N", help="processes per cell; their medians are shown (default: 1)")
    add("--json", type=Path, metavar="FILE", dest="report", help="write the report there, too")
    add("--markdown", type=Path, metavar="FILE", help="write the tables there instead of printing them")
    add("--sheet", type=Path, metavar="FILE.png", help="draw the pictures side by side, with PSNR and SSIM")
    parser.set_defaults(run=run)


def _names(known: Sequence[str] = ()) -> Callable[[str], list[str]]:
    """A type for argparse: several names in one argument, all of them known ones if there are such."""

    def names(text: str) -> list[str]:
        found = [name for name in text.split(",") if name]
        for name in found:
            if known and name not in known:
                raise argparse.ArgumentTypeError(f"invalid choice: {name!r} (choose from {', '.join(known)})")
        return found

    return names


def run(args: argparse.Namespace) -> int:
    from flux2.architecture.catalog import find_card
    from flux2.bench.cell import Cell
    from flux2.bench.recording import Recording
    from flux2.bench.report import BenchPlan, run_bench
    from flux2.bench.sheet import draw_sheet
    from flux2.bench.tables import as_markdown
    from flux2.errors import RequestError
    from flux2.pictures.images import check_writable
    from flux2.store.local import resolve_name

    if args.runs < 1:
        raise RequestError(f"{args.runs} runs are too few; choose 1 or more.")
    parts = tuple(args.part or ("encode", "load"))
    if args.sheet and "generate" not in parts:
        raise RequestError("A sheet shows pictures; add --part generate.")
    for path in filter(None, (args.report, args.markdown, args.sheet)):
        check_writable(path)
    models = tuple(map(resolve_name, args.model or MODELS))
    cards = [card for model in models if (card := find_card(model))]
    width, height = cards[0].size if len({card.size for card in cards}) == 1 else (SIZE, SIZE)
    with kept_awake(), tempfile.TemporaryDirectory(prefix="flux2-bench-") as pictures:
        plan = BenchPlan(
            models=models,
            quantizations=tuple(args.transformer_quant or LEVELS),
            residencies=tuple(args.residency or RESIDENCIES[:1]),
            parts=parts,
            synthetic=args.synthetic,
            divisor=args.divisor,
            runs=args.runs,
            pictures=Path(pictures) if args.sheet else None,
            cell=Cell(
                source="",
                dtype=args.dtype,
                width=args.width or width,
                height=args.height or height,
                steps=args.steps,
                tokens=args.tokens,
            ),
        )
        report = run_bench(plan, args.report)
        if args.sheet:
            draw_sheet(report, Path(pictures), args.sheet)  # which adds how alike the pictures are
            Recording(report, args.report).save()
    if args.markdown:
        args.markdown.write_text(as_markdown(report), encoding="utf-8")
    else:
        print(as_markdown(report), end="")
    return int(any("error" in cell for cell in report["cells"]))
