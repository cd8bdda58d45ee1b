"""What the measuring programs have in common: options, and the beginning of their reports."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from flux2.architecture.published import ARCHITECTURES
from flux2.backend import blas
from flux2.backend.mlx import default_dtype
from flux2.bench.conditions import read_conditions
from flux2.bench.recording import Recording


def parser(name: str, documentation: str | None) -> argparse.ArgumentParser:
    """One with the options of all programs; its description is the first line of the module's documentation."""
    made = argparse.ArgumentParser(
        prog=f"python -m flux2.bench.{name}", description=(documentation or "").partition("\n")[0], allow_abbrev=False
    )
    add = made.add_argument
    add("--model", choices=ARCHITECTURES, default="klein-4b", help="whose sizes (default: klein-4b)")
    add("--divisor", type=int, default=1, metavar="N", help="make everything N times smaller, for a trial")
    add("--dtype", choices=("bfloat16", "float32"), help="what is computed in (default: the backend's best)")
    add("--json", type=Path, metavar="FILE", help="write everything measured there, after every result")
    return made


def names(known: Sequence[str]) -> Callable[[str], list[str]]:
    """A type for argparse: several of the known names in one argument."""

    def split(text: str) -> list[str]:
        found = text.split(",")
        for name in found:
            if name not in known:
                raise argparse.ArgumentTypeError(f"invalid choice: {name!r} (choose from {', '.join(known)})")
        return found

    return split


def numbers(text: str) -> tuple[int, ...]:
    """A type for argparse: several numbers in one argument."""
    return tuple(map(int, text.split(",")))


def begin(
    name: str, args: argparse.Namespace, arguments: Sequence[str] | None, seconds: float | None = None
) -> Recording:
    """Start measuring: a report with the command and the conditions, read before anything is loaded."""
    blas.use_all_cores(args.divisor == 1)  # small matrices are faster with one thread
    report: dict[str, Any] = {
        "format": 1,
        "command": shlex.join(["python", "-m", f"flux2.bench.{name}", *(arguments or sys.argv[1:])]),
        "conditions": read_conditions(),
        "model": args.model,
        "divisor": args.divisor,
        "dtype": args.dtype or default_dtype(),
    }
    return Recording(report, args.json, seconds)
