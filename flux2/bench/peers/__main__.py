"""Time one denoising step and one decode of this engine, of diffusers and of mflux: `python -m flux2.bench.peers`.

Same machine, same process, same weights (random ones of the true sizes), in turn; the median of the rounds after a
warm-up, and the peak above the weights. What is not installed is left out with a sentence: `pip install ".[peers]"`.
With --check it only compares: the exit code is 1 where a bf16 step is not diffusers' to 2 %.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flux2 import cpu_blas
from flux2.architectures import ARCHITECTURES, scaled_down
from flux2.bench.conditions import read_conditions
from flux2.bench.document import LEVELS
from flux2.bench.peers import diffusers_peer, mflux_peer, ours
from flux2.bench.peers.arithmetic import decode_operations, step_operations
from flux2.bench.peers.contender import TEXT_TOKENS, Contender, UnavailableError, Work
from flux2.bench.peers.race import race
from flux2.bench.tables import table
from flux2.mlx_backend import default_dtype, mx

RELATIVE_LIMIT = 0.02
"""Of a bf16 step, against diffusers'."""
Maker = Callable[[Work], list[Contender]]

STEPS: dict[str, Maker] = {
    "ours": lambda work: [ours.step(work, "bf16")],
    "diffusers": lambda work: [diffusers_peer.step(work)],
    "mflux": lambda work: mflux_peer.steps(work, "bf16"),
    **{f"ours-{level}": lambda work, level=level: [ours.step(work, level)] for level in LEVELS[1:]},  # type: ignore[misc]
    **{f"mflux-{level}": lambda work, level=level: mflux_peer.steps(work, level)[:1] for level in LEVELS[1:]},  # type: ignore[misc]
}
"""Who can take part, by the name that --only knows; the first that is there is what the others are compared with."""
DECODES: dict[str, Maker] = {
    "ours": lambda work: [ours.decode(work)],
    "diffusers": lambda work: [diffusers_peer.decode(work)],
    "mflux": lambda work: mflux_peer.decodes(work),
}

PARTS = {"step": (STEPS, step_operations), "decode": (DECODES, decode_operations)}


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    cpu_blas.use_all_cores(args.divisor == 1)  # small matrices are faster with one thread
    only = args.only or list(STEPS)
    report: dict[str, Any] = {
        "format": 1,
        "command": " ".join(["python -m flux2.bench.peers", *(arguments or sys.argv[1:])]),
        "conditions": read_conditions(),
        "work": {"model": args.model, "divisor": args.divisor, "width": args.width, "height": args.height},
        "dtype": args.dtype or default_dtype(),
        "rounds": args.rounds,
    }
    work = Work(
        model=args.model,
        architecture=scaled_down(ARCHITECTURES[args.model], args.divisor),
        divisor=args.divisor,
        height=args.height,
        width=args.width,
        dtype=report["dtype"],
        text_tokens=args.tokens,
    )
    report["work"]["tokens"] = work.tokens
    for part, (makers, operations) in PARTS.items():
        if part not in args.part:
            continue
        contenders = _gather({name: makers[name] for name in only if name in makers}, work)
        report[part] = {"operations": operations(work), "contenders": race(contenders, args.rounds, _say)}
        print(_markdown(part, report[part], work), flush=True)
        del contenders
        mx.clear_cache()
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    return _verdict(report) if args.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.peers", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--model", choices=ARCHITECTURES, default="klein-4b", help="whose sizes (default: klein-4b)")
    add("--divisor", type=int, default=1, metavar="N", help="make everything N times smaller, for a trial")
    add("--width", type=int, default=1024, metavar="W", help="pixels (default: 1024)")
    add("--height", type=int, default=1024, metavar="H", help="pixels (default: 1024)")
    add("--tokens", type=int, default=TEXT_TOKENS, metavar="N", help=f"of text (default: {TEXT_TOKENS})")
    add("--dtype", choices=("bfloat16", "float32"), help="what is computed in (default: the backend's best)")
    add("--rounds", type=int, default=10, metavar="N", help="times that each does the work (default: 10)")
    add("--part", type=lambda text: text.split(","), default=list(PARTS), metavar="A,B", help="of step,decode")
    names = f"of {','.join(STEPS)} (default: all)"
    add("--only", type=lambda text: text.split(","), metavar="A,B", help=names)
    add("--check", action="store_true", help=f"fail where a step is not diffusers' to {RELATIVE_LIMIT:.0%}")
    add("--json", type=Path, metavar="FILE", help="write everything measured there")
    return parser


def _gather(makers: dict[str, Maker], work: Work) -> list[Contender]:
    """All that can take part, loaded; the others are told of."""
    contenders = []
    for name, make in makers.items():
        _say(f"{name}: loading")
        try:
            contenders += make(work)
        except UnavailableError as reason:
            _say(f"{name} is left out: {reason}.")
    return contenders


def _markdown(part: str, measured: dict[str, Any], work: Work) -> str:
    """Every contender's median with its spread, and the ratios to ours in bf16."""
    contenders = measured["contenders"]
    first = contenders[0]
    rows = [
        (
            f"{row['name']} ({row['version']})",
            f"{1e3 * row['median']:,.1f}",
            f"{1e3 * row['least']:,.1f} – {1e3 * row['most']:,.1f}",
            f"{first['median'] / row['median']:.2f}",
            "–" if row["peak_above_weights"] is None else f"{row['peak_above_weights'] / 2**20:,.0f}",
            f"{measured['operations'] / row['median'] / 1e12:.3g}",
            f"{row['relative_error']:.1e}",
        )
        for row in contenders
    ]
    size = f"{work.width}×{work.height}" + ("" if part == "decode" else f", {work.tokens:,} tokens")
    operations = f"{measured['operations'] / 1e12:,.1f} TFLOP"
    title = f"## {work.model}{f' / {work.divisor}' * (work.divisor > 1)}: one {part}, {size}, {operations}"
    titles = ("", "ms", "least – most", f"{first['name']} / this", "peak above weights, MiB", "TFLOP/s", "difference")
    return f"{title}\n\n{table(titles, rows)}\n"


def _verdict(report: dict[str, Any]) -> int:
    """Whether diffusers was there, and the bf16 step is its."""
    rows = {row["name"]: row for row in report["step"]["contenders"]}
    if "diffusers" not in rows:
        _say("diffusers is not there, so that nothing was checked")
        return 1
    error = rows["diffusers"]["relative_error"]
    _say(f"ours against diffusers: {error:.2%} of the velocity, at most {RELATIVE_LIMIT:.0%} is allowed")
    return int(not error <= RELATIVE_LIMIT)


def _say(line: str) -> None:
    print(f"flux2: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
