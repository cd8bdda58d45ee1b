"""How the time of denoising grows with the work: `python -m flux2.bench.research.scaling`.

One transformer with random weights of the true size at each level: a step against its tokens, the pictures computed at
once and the passes that guidance makes of it, and a whole denoising against its steps; the median of the rounds.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.backend.mlx import mx
from flux2.bench import program
from flux2.bench.document import LEVELS
from flux2.bench.recording import Recording
from flux2.bench.research.peers import ours
from flux2.bench.research.peers.arithmetic import step_operations
from flux2.bench.research.peers.contender import Contender, Work
from flux2.bench.research.peers.race import LEAST_ROUNDS, race, timed
from flux2.bench.tables import table
from flux2.checkpoint.networks import TRANSFORMER

SIDES = (512, 768, 1024, 1536, 2048)
"""Pixels of the pictures whose tokens are counted."""
COUNTS = {"steps": (1, 2, 4, 8), "batch": (1, 2, 4), "passes": (1, 2)}
"""Counts of what else grows, at one size of picture."""
GROWING = ("tokens", *COUNTS)
"""What grows; also the key of a row that holds how large it was."""
_KEPT = ("median", "least", "most", "peak_above_weights", "first_seconds", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row."""

    part: str
    level: str
    side: int
    steps: int = 1
    batch: int = 1
    passes: int = 1

    def work(self, args: argparse.Namespace, dtype: str) -> Work:
        return Work(
            model=args.model,
            architecture=scaled_down(ARCHITECTURES[args.model], args.divisor),
            divisor=args.divisor,
            height=self.side,
            width=self.side,
            dtype=dtype,
            text_tokens=args.tokens,
        )

    def contender(self, network: Any, work: Work) -> Contender:
        if self.part == "steps":
            return ours.denoising_of(network, work, str(self), self.steps)
        return ours.step_of(network, work, str(self), batch=self.batch, passes=self.passes)

    def facts(self, work: Work) -> dict[str, Any]:
        """What a row says of it."""
        return {
            "part": self.part,
            "level": self.level,
            "side": self.side,
            "tokens": work.tokens,
            "steps": self.steps,
            "batch": self.batch,
            "passes": self.passes,
            "operations": step_operations(work) * self.steps * self.batch * self.passes,
        }

    def __str__(self) -> str:
        counts = "".join(f", {count} {name}" for name in COUNTS if (count := getattr(self, name)) > 1)
        return f"{self.level} {self.side}²{counts}"


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    recording = program.begin("scaling", args, arguments, args.seconds)
    report = recording.report
    report |= {"text_tokens": args.tokens, "rounds": args.rounds, "rows": []}
    for level in args.transformer_quant:
        cases = list(_cases(args, level))
        loading = partial(ours.load, cases[0].work(args, report["dtype"]), TRANSFORMER, level)
        loaded = recording.attempt(level, "loading", loading)
        if loaded is None:
            continue
        for case in cases:
            if row := _measure(case, loaded[0], args, recording):
                report["rows"].append(row)
                recording.say(f"{case}: {1e3 * row['median']:,.1f} ms")
                recording.save()
        del loaded
        mx.clear_cache()
    print(as_markdown(report))
    return 0


def _cases(args: argparse.Namespace, level: str) -> Iterator[Case]:
    if "tokens" in args.part:
        for side in args.sides:
            yield Case(part="tokens", level=level, side=side)
    for part, counts in COUNTS.items():
        if part in args.part:
            for count in counts:
                yield Case(part=part, level=level, side=args.side, **{part: count})


def _measure(case: Case, network: Any, args: argparse.Namespace, recording: Recording) -> dict[str, Any] | None:
    """Its row; None where it fails."""
    work = case.work(args, recording.report["dtype"])
    contender = recording.attempt(str(case), "conditioning", partial(case.contender, network, work), tell=False)
    rows = timed(race([contender], args.rounds, recording)) if contender else []
    return case.facts(work) | {name: rows[0][name] for name in _KEPT} if rows else None


def as_markdown(report: dict[str, Any]) -> str:
    """A row per case, its tokens being the picture's and the text's."""
    rows = [
        (
            row["level"],
            f"{row['side']}×{row['side']}",
            *(f"{row[name]:,}" for name in GROWING),
            f"{1e3 * row['median']:,.1f}",
            f"{1e3 * row['least']:,.1f} – {1e3 * row['most']:,.1f}",
            f"{row['operations'] / row['median'] / 1e12:.3g}",
            f"{row['peak_above_weights'] / 2**20:,.0f}",
        )
        for row in report["rows"]
    ]
    titles = (
        "Level",
        "Size",
        *map(str.capitalize, GROWING),
        "ms",
        "Least – most",
        "TFLOP/s",
        "Peak above weights, MiB",
    )
    model = report["model"] + (f" / {report['divisor']}" if report["divisor"] > 1 else "")
    return f"## {model}: denoising, {report['text_tokens']} text tokens\n\n{table(titles, rows)}"


def _parser() -> argparse.ArgumentParser:
    parser = program.parser("scaling", __doc__)
    add = parser.add_argument
    add(
        "--part",
        type=program.names(GROWING),
        default=GROWING,
        metavar="A,B",
        help=f"of {','.join(GROWING)} (default: all)",
    )
    sides = ",".join(map(str, SIDES))
    add("--sides", type=program.numbers, default=SIDES, metavar="A,B", help=f"of tokens, pixels (default: {sides})")
    add("--side", type=int, default=1024, metavar="N", help="of all other parts, pixels (default: 1024)")
    levels = f"of {','.join(LEVELS)} (default: all)"
    add("--transformer-quant", type=program.names(LEVELS), default=LEVELS, metavar="A,B", help=levels)
    add("--tokens", type=int, default=MAX_TEXT_TOKENS, metavar="N", help=f"of text (default: {MAX_TEXT_TOKENS})")
    add("--rounds", type=int, default=10, metavar="N", help="times that each is done (default: 10)")
    add(
        "--seconds",
        type=float,
        metavar="N",
        help=f"after which each is done {LEAST_ROUNDS} times only (default: none)",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
