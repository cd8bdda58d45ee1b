"""How far encoding, loading and decoding are from what the hardware allows: `python -m flux2.bench.research.bounds`.

A lower bound is the bytes to be read at the speed at which this machine hands them out, or the arithmetic at the speed
of its largest matrix product, whichever takes longer. Both are measured before each round of a phase, for machines that
others use are faster at one time than at another, and medians are compared.

By default files are sparse and come from the system's cache, so that it is the engine and no disk that is compared.
With --disk they hold numbers, and each phase that reads is measured once more with them off the disk, dropped from the
cache before every reading, the bound's as the engine's.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.backend.mlx import DTYPES, mx
from flux2.bench import program
from flux2.bench.disk import CAN_DROP, drop_from_cache, fill, reading_speed, weights_in
from flux2.bench.document import LEVELS, PROMPT, SEED, SIZE
from flux2.bench.report import fresh_home
from flux2.bench.research.peers.arithmetic import decode_operations, encode_operations
from flux2.bench.research.peers.contender import Work
from flux2.bench.synthetic import write_synthetic
from flux2.bench.tables import table
from flux2.events import Event, PhaseFinished
from flux2.pipeline import Flux2Pipeline
from flux2.reporting import RunReport

_SIDE = {"cpu": 2048, "gpu": 8192}
"""Rows and columns of the matrices whose product gives the speed of arithmetic, by backend."""
_REPEATS = 3
ROUNDS = 3
"""Timed runs of a phase, after one that does not count."""
_READING = {"encode", "load"}
"""Parts of which all weights are read; the others' stay zeros."""
FOLDER_OF_PHASE = {"encode": "text_encoder", "load": "transformer", "decode": "vae"}
"""Folder of the weights that each is about."""

OnEvent = Callable[[Event], None]


def main(arguments: list[str] | None = None) -> int:
    parser = _parser()
    args = parser.parse_args(arguments)
    if args.disk and not CAN_DROP:
        parser.error("--disk: this system can't be told to drop a file from its cache; measure without it.")
    recording = program.begin("bounds", args, arguments)
    report = recording.report
    with tempfile.TemporaryDirectory(prefix="flux2-bounds-") as scratch, fresh_home() as home:
        os.environ["FLUX2_HOME"] = str(home)
        folder = write_synthetic(args.model, Path(scratch) / args.model, args.divisor)
        if args.disk:
            for part in _READING.intersection(args.part):
                for path in weights_in(folder / FOLDER_OF_PHASE[part]):
                    recording.attempt(str(path.relative_to(folder)), "writing", partial(fill, path))
        report["bounds"] = []
        for phase in phases(folder, args, report["dtype"]):
            for dropped in (False, True) if args.disk and phase.nbytes else (False,):
                measure = partial(_measure, phase, report, dropped)
                row = recording.attempt(phase.name + OFF_THE_DISK * dropped, "measuring", measure)
                if row is not None:
                    report["bounds"].append(row)
                    recording.save()
    print(as_markdown(report))
    return 0


OFF_THE_DISK = " off the disk"


@dataclass(frozen=True, slots=True)
class Phase:
    """What is timed, and what it can't do without."""

    name: str
    run: Callable[[OnEvent], object]
    weights: Path
    """Folder of the network's."""
    nbytes: int = 0
    """To be read."""
    operations: float = 0.0

    def seconds(self) -> float:
        """Seconds that it takes."""
        seconds = 0.0

        def on_event(event: Event) -> None:
            nonlocal seconds
            if isinstance(event, PhaseFinished):
                seconds = event.seconds

        self.run(on_event)
        return seconds


def _measure(phase: Phase, report: dict[str, Any], dropped: bool) -> dict[str, Any]:
    """A row of the report."""
    files = weights_in(phase.weights)
    phase.seconds()
    rounds: dict[str, list[float]] = {"seconds": [], "bytes_per_second": [], "operations_per_second": []}
    for _ in range(ROUNDS):
        rounds["operations_per_second"].append(arithmetic_speed(report["dtype"], report["conditions"]["backend"]))
        rounds["bytes_per_second"].append(reading_speed(files[0], dropped=dropped))
        if dropped:
            drop_from_cache(files)
        rounds["seconds"].append(phase.seconds())
    median = {name: statistics.median(found) for name, found in rounds.items()}
    bound = max(phase.nbytes / median["bytes_per_second"], phase.operations / median["operations_per_second"])
    facts = {"bytes": phase.nbytes, "operations": phase.operations, "bound": bound, "rounds": rounds}
    return {"phase": phase.name + OFF_THE_DISK * dropped, **median, **facts}


def arithmetic_speed(dtype: str, backend: str) -> float:
    """Floating-point operations per second of a large matrix product."""
    side = _SIDE[backend]
    a, b = (mx.random.normal((side, side)).astype(DTYPES[dtype]) for _ in range(2))
    mx.eval(a, b, a @ b)
    best = math.inf
    for _ in range(_REPEATS):
        began = time.perf_counter()
        mx.eval(a @ b)
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 / best


def phases(folder: Path, args: argparse.Namespace, dtype: str) -> Iterator[Phase]:
    """Each in turn; what one has loaded is let go of before the next."""
    side = args.side
    config = scaled_down(ARCHITECTURES[args.model], args.divisor)
    work = Work(model=args.model, architecture=config, divisor=args.divisor, height=side, width=side, dtype=dtype)
    pipeline = Flux2Pipeline.from_pretrained(folder, dtype)
    if "encode" in args.part:
        prompts = (f"{PROMPT} {number}" for number in count())  # what was encoded once is remembered
        layers = pipeline._prompts.source.config.used_layers
        shapes = config.shapes()["text_encoder"]
        used = {name: shape for name, shape in shapes.items() if _layer(name) in range(layers)}
        yield Phase(
            "encode",
            lambda on_event: pipeline._prompts.encode([next(prompts)], args.tokens, RunReport(on_event=on_event)),
            folder / FOLDER_OF_PHASE["encode"],
            _bytes(used),
            encode_operations(used, args.tokens),
        )
    for level in args.transformer_quant if "load" in args.part else ():
        levelled = pipeline.with_quantization(level)
        nbytes = _bytes(config.shapes()["transformer"])
        yield Phase(f"load {level}", partial(_load, levelled), folder / FOLDER_OF_PHASE["load"], nbytes)
        levelled.unload()
    if "decode" in args.part:
        latents = mx.random.normal((1, *work.grid, config.transformer["in_channels"]), key=mx.random.key(SEED))
        yield Phase(
            f"decode {side}×{side}",
            lambda on_event: pipeline._decode(latents, RunReport(on_event=on_event)),
            folder / FOLDER_OF_PHASE["decode"],
            operations=decode_operations(work),
        )


def _load(pipeline: Flux2Pipeline, on_event: OnEvent) -> None:
    pipeline.unload()
    pipeline.load_transformer(on_event)


def _bytes(shapes: dict[str, tuple[int, ...]]) -> int:
    return 2 * sum(math.prod(shape) for shape in shapes.values())


def _layer(name: str) -> int | None:
    """Number of a tensor's layer in the text encoder, from 0; None outside all, as the embeddings, few of them read."""
    head, found, tail = name.partition("model.layers.")
    return int(tail.split(".")[0]) if found and "vision" not in head else None


def as_markdown(report: dict[str, Any]) -> str:
    rows = [
        (
            row["phase"],
            f"{row['seconds']:.2f}",
            f"{row['bound']:.2f}",
            f"{row['seconds'] / row['bound']:.2f}",
            f"{row['bytes'] / 2**20:,.0f}",
            f"{row['operations'] / 1e12:.2f}",
            f"{row['bytes_per_second'] / 2**30:.2f}",
            f"{row['operations_per_second'] / 1e12:.2f}",
        )
        for row in report["bounds"]
    ]
    titles = ("Phase", "Seconds", "Bound", "Ratio", "MiB read", "TFLOP", "GiB/s", "TFLOP/s")
    return f"## {report['model']}: against the lower bounds in {report['dtype']}\n\n{table(titles, rows)}"


def _parser() -> argparse.ArgumentParser:
    parser = program.parser("bounds", __doc__)
    add = parser.add_argument
    parts = ",".join(FOLDER_OF_PHASE)
    add(
        "--part",
        type=program.names(list(FOLDER_OF_PHASE)),
        default=list(FOLDER_OF_PHASE),
        metavar="A,B",
        help=f"of {parts}",
    )
    add("--disk", action="store_true", help="measure off the disk, too: takes the checkpoint's size on it")
    levels = f"of {','.join(LEVELS)}, to load (default: all)"
    add("--transformer-quant", type=program.names(LEVELS), default=LEVELS, metavar="A,B", help=levels)
    add("--side", type=int, default=SIZE, metavar="N", help=f"of the picture decoded, pixels (default: {SIZE})")
    add("--tokens", type=int, default=MAX_TEXT_TOKENS, metavar="N", help=f"of text (default: {MAX_TEXT_TOKENS})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
