"""`flux2 quantize`: the transformer's weights quantized once, for later runs to begin with."""

from __future__ import annotations

import argparse
import json
import sys
import time

from flux2.architecture.catalog import MODELS
from flux2.architecture.levels import LEVELS
from flux2.backend.awake import kept_awake
from flux2.commands.cancelling import Cancelled, CancelOnSignal
from flux2.errors import GenerationCancelled
from flux2.humanize import seconds, size
from flux2.paths import expand
from flux2.streams import deliver

_DESCRIPTION = """\
Quantize a model's transformer once and keep the result, a quarter (int4) to a half (qint8) of its size.
Every later run at that level finds it by itself, reads it in place of the checkpoint, and draws the same pictures.
When the checkpoint changes, runs say so and quantize while loading, until this is run again."""

_EXAMPLES = """\
examples:
  flux2 quantize --model klein-9b --transformer-quant int4
  flux2 quantize --model dev --transformer-quant qint8 --output /Volumes/Fast/dev-qint8"""


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add = parser.add_argument
    names = f"{', '.join(MODELS)}, a Hub repository, a checkpoint's folder, or a single file of weights"
    add("--model", metavar="MODEL", required=True, help=names)
    add("--base", metavar="MODEL", help="the model that a single file is of, where its shapes do not tell")
    add(
        "--transformer-quant",
        choices=[level.name for level in LEVELS.values() if level.bits],
        required=True,
        help="the level",
    )
    add("--output", "-o", metavar="FOLDER", help="a new or empty folder for the files (default: in the cache)")
    add("--json", action="store_true", help="print one line of JSON instead of the folder")
    add("--quiet", "-q", action="store_true", help="no progress bar and no summary")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(20), DownloadColumn(binary_units=True))
    shown = sys.stderr.isatty() and not args.quiet
    bar = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=not shown)
    task = bar.add_task("Quantizing", total=None)
    started = time.perf_counter()
    with CancelOnSignal() as cancel, kept_awake(), bar:

        def advance(count: int) -> None:
            if cancel.received:
                raise GenerationCancelled("Quantizing was cancelled.")
            bar.update(task, advance=count)

        from flux2.backend import memory  # here, for it loads MLX: seconds in which Ctrl-C must already work
        from flux2.quantization.to_disk import quantize_transformer
        from flux2.store.local import resolve_name

        try:
            files = quantize_transformer(
                resolve_name(args.model),
                args.transformer_quant,
                expand(args.output) if args.output else None,
                base=args.base,
                say=lambda message: console.print(f"flux2: {message}", markup=False, soft_wrap=True),
                on_start=lambda total: bar.update(task, total=total),
                on_bytes=advance,
            )
        except GenerationCancelled:
            raise Cancelled(cancel.received) from None
    taken, peak = time.perf_counter() - started, memory.read().peak
    facts = {"folder": str(files.folder), "bytes": files.nbytes, "made": files.made}
    facts |= {"seconds": round(taken, 3), "peak_bytes": peak}
    deliver(json.dumps(facts) if args.json else str(files.folder), made=f"The weights are in {files.folder}.")
    if not args.json and not args.quiet:
        done = f"in {seconds(taken)} · peak {size(peak)}" if files.made else "there already, and up to date"
        print(f"{size(files.nbytes)} · {done}", file=sys.stderr)
    return 0
