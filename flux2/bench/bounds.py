"""How far encoding, loading and decoding are from what the hardware allows: `python -m flux2.bench.bounds`.

A lower bound is the bytes to be read at the speed at which this machine hands them out, or the arithmetic at the speed
of its largest matrix product, whichever takes longer; both are measured first. Files are sparse and come from the
system's cache, for the engine as for the bound, so that it is the engine and no disk that is compared. Every phase runs
once before it counts.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from flux2.architectures import ARCHITECTURES, scaled_down
from flux2.bench import program
from flux2.bench.document import LEVELS, PROMPT, SEED, SIZE
from flux2.bench.peers.arithmetic import decode_operations, encode_operations
from flux2.bench.peers.contender import TEXT_TOKENS, Work
from flux2.bench.report import fresh_home
from flux2.bench.synthetic import write_synthetic
from flux2.bench.tables import table
from flux2.events import Event, PhaseFinished
from flux2.mlx_backend import DTYPES, mx
from flux2.pipeline import Flux2Pipeline
from flux2.reporting import RunReport
from flux2.shapes import text_encoder_shapes, transformer_shapes

_READ = 2 << 30  # bytes, to find the speed of reading
_PIECE = 16 << 20
_READERS = (1, 4, 8)
_SIDE = {"cpu": 2048, "gpu": 8192}
"""Of the matrices whose product gives the speed of arithmetic."""
_REPEATS = 5

OnEvent = Callable[[Event], None]


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    recording = program.begin("bounds", args, arguments)
    report = recording.report
    with tempfile.TemporaryDirectory(prefix="flux2-bounds-") as scratch, fresh_home() as home:
        os.environ["FLUX2_HOME"] = str(home)
        folder = write_synthetic(args.model, Path(scratch) / args.model, args.divisor)
        report["bytes_per_second"] = reading_speed(folder / "transformer")
        recording.say(f"reading: {report['bytes_per_second'] / 2**30:.1f} GiB/s")
        report["operations_per_second"] = arithmetic_speed(report["dtype"], report["conditions"]["backend"])
        recording.say(f"multiplying: {report['operations_per_second'] / 1e12:.3g} TFLOP/s")
        report["bounds"] = []
        for phase in phases(folder, args, report["dtype"]):
            seconds = recording.attempt(phase.name, "twice", phase.seconds)
            if seconds is not None:
                report["bounds"].append(_row(report, phase, seconds))
                recording.save()
    print(as_markdown(report))
    return 0


@dataclass(frozen=True, slots=True)
class Phase:
    """What is timed, and what it can't do without."""

    name: str
    run: Callable[[OnEvent], object]
    nbytes: int = 0
    """To be read."""
    operations: float = 0.0

    def seconds(self) -> float:
        """Of the second time that it is run."""
        seconds = 0.0

        def on_event(event: Event) -> None:
            nonlocal seconds
            if isinstance(event, PhaseFinished):
                seconds = event.seconds

        for _ in range(2):
            self.run(on_event)
        return seconds


def reading_speed(folder: Path) -> float:
    """Bytes per second out of the system's cache into memory nobody has used yet, with as many readers as are best."""
    path = max(folder.glob("*.safetensors"), key=lambda file: file.stat().st_size)
    length = min(_READ, path.stat().st_size)
    pieces = range(0, length, _PIECE)

    def read(target: memoryview, start: int) -> None:
        os.preadv(descriptor, [target[start : start + _PIECE]], start)

    best = math.inf
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for readers in _READERS:
            with ThreadPoolExecutor(readers) as pool:
                for _ in range(_REPEATS):
                    began = time.perf_counter()
                    list(pool.map(partial(read, np.empty(length, np.uint8).data), pieces))
                    best = min(best, time.perf_counter() - began)
    finally:
        os.close(descriptor)
    return length / best


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
    prompts = iter((PROMPT, PROMPT[::-1]))
    layers = pipeline._prompts.source.config.used_layers
    shapes = text_encoder_shapes(config.text_encoder)
    used = {name: shape for name, shape in shapes.items() if _layer(name) in range(layers)}
    yield Phase(
        "encode",
        lambda on_event: pipeline._prompts.encode([next(prompts)], args.tokens, RunReport(on_event=on_event)),
        _bytes(used),
        encode_operations(used, args.tokens),
    )
    for level in args.transformer_quant:
        levelled = pipeline.with_quantization(level)
        yield Phase(f"load {level}", partial(_load, levelled), _bytes(transformer_shapes(config.transformer)))
        levelled.unload()
    latents = mx.random.normal((1, *work.grid, config.transformer["in_channels"]), key=mx.random.key(SEED))
    yield Phase(
        f"decode {side}×{side}",
        lambda on_event: pipeline._decode(latents, RunReport(on_event=on_event)),
        operations=decode_operations(work),
    )


def _load(pipeline: Flux2Pipeline, on_event: OnEvent) -> None:
    pipeline.unload()
    pipeline.load_transformer(on_event)


def _row(report: dict[str, Any], phase: Phase, seconds: float) -> dict[str, Any]:
    bound = max(phase.nbytes / report["bytes_per_second"], phase.operations / report["operations_per_second"])
    facts = {"bytes": phase.nbytes, "operations": phase.operations}
    return {"phase": phase.name, "seconds": seconds, **facts, "bound": bound}


def _bytes(shapes: dict[str, tuple[int, ...]]) -> int:
    return 2 * sum(math.prod(shape) for shape in shapes.values())


def _layer(name: str) -> int | None:
    """Of the text encoder, counted from 0; None for what is in none, such as the embeddings, of which few are read."""
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
        )
        for row in report["bounds"]
    ]
    speeds = (
        f"{report['bytes_per_second'] / 2**30:.1f} GiB/s out of the cache, "
        f"{report['operations_per_second'] / 1e12:.2f} TFLOP/s in {report['dtype']}"
    )
    titles = ("Phase", "Seconds", "Bound", "Ratio", "MiB read", "TFLOP")
    return f"## {report['model']}: against the lower bounds ({speeds})\n\n{table(titles, rows)}"


def _parser() -> argparse.ArgumentParser:
    parser = program.parser("bounds", __doc__)
    add = parser.add_argument
    levels = f"of {','.join(LEVELS)}, to load (default: all)"
    add("--transformer-quant", type=program.names(LEVELS), default=LEVELS, metavar="A,B", help=levels)
    add("--side", type=int, default=SIZE, metavar="N", help=f"of the picture decoded, pixels (default: {SIZE})")
    add("--tokens", type=int, default=TEXT_TOKENS, metavar="N", help=f"of text (default: {TEXT_TOKENS})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
