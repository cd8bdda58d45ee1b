"""Time a denoising step and a decode of this engine, diffusers and mflux: `python -m flux2.bench.research.peers`.

Same machine, same process, same weights (random ones of the true sizes), in turn; the median of the rounds after a
warm-up, and the peak above the weights. Who is not installed, has no room or fails is left out with a sentence.
With --check it only compares: the exit code is 1 where a bf16 step is not diffusers' to 2 %.
"""

from __future__ import annotations

import argparse
import gc
import sys
from functools import partial
from typing import Any

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.bench import program
from flux2.bench.recording import Recording
from flux2.bench.research.peers.contender import Contender, Work
from flux2.bench.research.peers.entrants import EXACT, RACES, STEPS, Part, let_go
from flux2.bench.research.peers.race import LEAST_ROUNDS, race, timed
from flux2.bench.tables import table

RELATIVE_LIMIT = 0.02
"""Largest relative error of a bf16 step against diffusers'."""


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    recording = program.begin("peers", args, arguments, args.seconds)
    report = recording.report
    work = Work(
        model=args.model,
        architecture=scaled_down(ARCHITECTURES[args.model], args.divisor),
        divisor=args.divisor,
        height=args.height,
        width=args.width,
        dtype=report["dtype"],
        text_tokens=args.tokens,
    )
    report["work"] = {
        "model": args.model,
        "divisor": args.divisor,
        "width": args.width,
        "height": args.height,
        "tokens": work.tokens,
    }
    for name in args.part:
        rows: list[dict[str, Any]] = []
        report[name] = {"operations": RACES[name].operations(work), "contenders": rows}
        race(_gather(RACES[name], args.only, work, recording), args.rounds, recording, rows)
        recording.save()
        print(_markdown(name, report[name], work), flush=True)
        gc.collect()
        let_go()
    return _verdict(recording) if args.check else 0


def _parser() -> argparse.ArgumentParser:
    parser = program.parser("peers", __doc__)
    add = parser.add_argument
    add("--width", type=int, default=1024, metavar="W", help="pixels (default: 1024)")
    add("--height", type=int, default=1024, metavar="H", help="pixels (default: 1024)")
    add("--tokens", type=int, default=MAX_TEXT_TOKENS, metavar="N", help=f"of text (default: {MAX_TEXT_TOKENS})")
    add("--rounds", type=int, default=10, metavar="N", help="times that each does the work (default: 10)")
    add(
        "--seconds",
        type=float,
        metavar="N",
        help=f"after which no further round is begun, once there were {LEAST_ROUNDS} (default: none)",
    )
    parts = ",".join(RACES)
    add("--part", type=program.names(list(RACES)), default=list(RACES), metavar="A,B", help=f"of {parts}")
    known = list(STEPS)
    default = [name for name in known if name != EXACT]
    only = f"of {','.join(known)}; differences are those from the first (default: all but {EXACT})"
    add("--only", type=program.names(known), default=default, metavar="A,B", help=only)
    add("--check", action="store_true", help=f"fail where a step is not diffusers' to {RELATIVE_LIMIT:.0%}")
    return parser


def _gather(part: Part, only: list[str], work: Work, recording: Recording) -> list[Contender]:
    """All that can take part, loaded; the others are told of."""
    contenders: list[Contender] = []
    loading: dict[str, float] = recording.report.setdefault("load_seconds", {})
    shapes = part.shapes(work)
    for name in only:
        if name not in part.entrants:
            continue
        began = recording.seconds()
        made = recording.attempt(name, "loading", partial(part.entrants[name].load, work, shapes))
        let_go()
        if made is not None:
            loading[", ".join(each.name for each in made)] = recording.seconds() - began
            if choosing := made[0].notes.get("choosing_seconds"):
                recording.say(f"{name}: of these, {choosing:.1f} s to find the fastest way to multiply")
            contenders += made
            recording.save()
    return contenders


def _markdown(part: str, measured: dict[str, Any], work: Work) -> str:
    """Every contender's median with its spread, and the ratios to the first one's, ours in bf16."""
    contenders = timed(measured["contenders"])
    rows = [
        (
            f"{row['name']} ({row['version']})",
            f"{1e3 * row['median']:,.1f}",
            f"{1e3 * row['least']:,.1f} – {1e3 * row['most']:,.1f}",
            f"{contenders[0]['median'] / row['median']:.2f}",
            "–" if row["peak_above_weights"] is None else f"{row['peak_above_weights'] / 2**20:,.0f}",
            f"{measured['operations'] / row['median'] / 1e12:.3g}",
            f"{row['relative_error']:.1e}",
        )
        for row in contenders
    ]
    size = f"{work.width}×{work.height}" + ("" if part == "decode" else f", {work.tokens:,} tokens")
    operations = f"{measured['operations'] / 1e12:,.1f} TFLOP"
    title = f"## {work.model}{f' / {work.divisor}' * (work.divisor > 1)}: one {part}, {size}, {operations}"
    first = contenders[0]["name"] if contenders else ""
    titles = ("", "ms", "least – most", f"{first} / this", "peak above weights, MiB", "TFLOP/s", "difference")
    return f"{title}\n\n{table(titles, rows) or 'Nobody was timed.'}\n"


def _verdict(recording: Recording) -> int:
    """Whether diffusers was there, and the bf16 step is its."""
    rows = {row["name"]: row for row in recording.report.get("step", {}).get("contenders", [])}
    if not {"ours bf16", "diffusers"} <= rows.keys():
        recording.say("ours and diffusers were not both there, so that nothing was checked")
        return 1
    error = rows["diffusers"]["relative_error"]
    recording.say(f"ours against diffusers: {error:.2%} of the velocity, at most {RELATIVE_LIMIT:.0%} is allowed")
    return int(not error <= RELATIVE_LIMIT)


if __name__ == "__main__":
    sys.exit(main())
