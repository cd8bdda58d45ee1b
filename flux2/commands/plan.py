"""`flux2 plan`: what a run will take, phase by phase at every level, before anything is downloaded or loaded."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from flux2.catalog import MODELS, find_card
from flux2.checkpoint.local import default_model
from flux2.planner import Budget, MemoryPlan, Networks, Setting, best_fit, find_networks, plan_all
from flux2.request import MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE, GenerationRequest

_DESCRIPTION = """\
Predict the peak memory of every phase of a run, for every level of quantization, and say what fits this machine.
Config files are enough: nothing is downloaded."""

_EXAMPLES = """\
examples:
  flux2 plan --model klein-9b
  flux2 plan --model dev --width 1024 --height 768 --json"""

_MIB = 2**20
_DEFAULT_SIZE = (1024, 1024)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "plan",
        help="say how much memory a run will take",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", metavar="MODEL", help=f"{', '.join(MODELS)}, or a checkpoint's folder")
    size = f"pixels, {MIN_SIZE} to {MAX_SIZE}, a multiple of {SIZE_MULTIPLE}"
    add("--width", type=int, metavar="W", help=size)
    add("--height", type=int, metavar="H", help=size)
    add("--guidance", type=float, metavar="G", help="above 1, base models have a second pass (default: the model's)")
    add("--dtype", choices=("bfloat16", "float16", "float32"), help="what is computed in (default: the backend's best)")
    add("--json", action="store_true", help="print one line of JSON, in bytes")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    model = args.model or default_model()
    networks = find_networks(model)
    budget = _budget()
    plans = plan_all(networks, _setting(args, model, networks))
    if args.json:
        print(json.dumps(_facts(model, plans, budget)))
    else:
        print(_text(model, plans, budget))
    return 0


def _setting(args: argparse.Namespace, model: str, networks: Networks) -> Setting:
    """Raises RequestError if the size makes no sense."""
    from flux2.mlx_backend import default_dtype, on_cpu

    card = find_card(model)
    width, height = card.size if card else _DEFAULT_SIZE
    guidance = args.guidance if args.guidance is not None else card.guidance if card else 1.0
    request = GenerationRequest(
        prompt="-", width=args.width or width, height=args.height or height, guidance=guidance
    ).validated()
    return Setting(
        width=request.width or width,
        height=request.height or height,
        dtype=args.dtype or default_dtype(),
        backend="cpu" if on_cpu() else "gpu",
        guided=guidance > 1.0 and not networks.is_distilled,
    )


def _budget() -> Budget:
    from flux2 import memory

    return Budget(limit=memory.memory_limit(), available=memory.read().available)


def _facts(model: str, plans: list[MemoryPlan], budget: Budget) -> dict[str, Any]:
    best = best_fit(plans, budget)
    return {
        "model": model,
        "budget": asdict(budget),
        "best": best.setting.quantization if best else None,
        "plans": [
            {**asdict(found), "peak": found.peak, "phase": found.phase, "verdict": budget.judge(found.peak)}
            for found in plans
        ],
    }


def _text(model: str, plans: list[MemoryPlan], budget: Budget) -> str:
    setting, phases = plans[0].setting, list(plans[0].peaks)
    rows = [("LEVEL", "WEIGHTS", *(phase.upper() for phase in phases), "PEAK", "")]
    for found in plans:
        sizes = (found.resident, *found.peaks.values(), found.peak)
        rows.append((found.setting.quantization, *map(_mib, sizes), budget.judge(found.peak)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    table = ["  ".join(_aligned(row, widths)).rstrip() for row in rows]
    passes = ", two passes per step" if setting.guided else ""
    return "\n".join(
        [
            f"{model}, {setting.width}×{setting.height}, {setting.dtype}{passes}; peak of each phase in MiB",
            *table,
            f"This machine: {_mib(budget.limit)} MiB, of which other programs leave {_mib(budget.available)} now.",
        ]
    )


def _aligned(row: tuple[str, ...], widths: list[int]) -> list[str]:
    """The first and the last column to the left, numbers to the right."""
    first, *numbers, last = row
    aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:-1], strict=True)]
    return [first.ljust(widths[0]), *aligned, last]


def _mib(count: int) -> str:
    return f"{count / _MIB:,.0f}"
