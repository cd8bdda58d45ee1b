"""`flux2 plan`: what a run will take, phase by phase at every level, before anything is downloaded or loaded."""

from __future__ import annotations

import argparse
import json
import textwrap
from dataclasses import asdict
from typing import Any

from flux2.architecture.catalog import find_card, label
from flux2.architecture.limits import DTYPE_BYTES
from flux2.commands import reference_lines
from flux2.commands.pictures_in import looked_at
from flux2.commands.request_options import add_request_options, read_request
from flux2.errors import RequestError
from flux2.inputs.checks import AUTO
from flux2.lora.planned import refuse_misfits
from flux2.planning.budget import Budget, read_budget
from flux2.planning.fit import best_fit, facts_of, machines
from flux2.planning.planner import MemoryPlan, plan_all
from flux2.planning.run_facts import Engine
from flux2.request import GenerationRequest
from flux2.store.assembling import local_vae, single_place
from flux2.store.configs import Networks, find_files, networks_for

_DESCRIPTION = """\
Predict the peak memory of every phase of a run, for every level of quantization,
with the transformer kept in memory or read from the disk in every step, and say
what fits this machine; with --transformer-quant or --residency for that one alone.
Config files are enough: nothing is downloaded."""

_EXAMPLES = """\
examples:
  flux2 plan --model klein-9b
  flux2 plan --model dev --width 1024 --height 768 --memory-budget 20GB
  flux2 plan --model dev --residency streamed --json
  flux2 plan --model klein-4b --image cat.png --image room.jpg"""

_MIB = 2**20
_WIDTH = 100  # characters of a line of text
_GROUPS = {"resident": "kept in memory", "streamed": "read in every step"}


def fill(parser: argparse.ArgumentParser) -> None:
    parser.description, parser.epilog = _DESCRIPTION, _EXAMPLES
    add_request_options(parser, planned=True)
    add = parser.add_argument
    add("--dtype", choices=tuple(DTYPE_BYTES), help="what is computed in (default: the backend's best)")
    add_budget(parser)
    add("--json", action="store_true", help="print one line of JSON, in bytes")
    parser.set_defaults(run=run)


def add_budget(parser: argparse.ArgumentParser) -> None:
    """The option by which a user says what runs may take."""
    parser.add_argument(
        "--memory-budget",
        metavar="SIZE",
        help="what runs may take, as 12GB or 11500MiB (default: FLUX2_MEMORY_BUDGET, or what the device recommends)",
    )


def budget_of(args: argparse.Namespace) -> int | None:
    """What `add_budget`'s option says, in bytes.

    Raises:
        RequestError: if it makes no sense.
    """
    return None if args.memory_budget is None else read_budget(args.memory_budget, "--memory-budget")


def run(args: argparse.Namespace) -> int:
    limit = budget_of(args)
    request = read_request(args, looked_at(), prompt="-").validated()
    _refuse_what_a_run_would(request)
    networks = networks_for(request)
    refuse_misfits(request.loras, networks.transformer, label(request.model))
    engine, budget = _this_machine(args.dtype, limit)
    plans = [
        found
        for found in plan_all(networks, facts_of(request, networks, engine), budget)
        if args.residency in (None, found.facts.residency, AUTO)
        and args.quantization in (None, found.facts.quantization, AUTO)
    ]
    own_vae = request.vae is not None and local_vae(request.vae) is None
    if args.json:
        told = _facts(request.model, networks, plans, budget)
        told |= reference_lines.in_json(request, networks.transformer, plans[0].facts)
        print(json.dumps({**told, "own_vae": own_vae or request.vae is None}))
        return 0
    print(_text(request.model, networks, plans, budget))
    for line in reference_lines.lines(request, networks.transformer, plans[0].facts):
        print(line)
    if own_vae:
        print(f"{request.vae} is not here, so that the decode is planned with the model's own autoencoder.")
    return 0


def _refuse_what_a_run_would(request: GenerationRequest) -> None:
    """Check the files of a model that is here as a run checks them, headers included, before a plan is believed.

    Raises:
        RequestError: if there is no such model or autoencoder.
        CheckpointError: if a run would refuse its files, with the run's own sentence.
    """
    from flux2.backend.mlx import default_dtype
    from flux2.checkpoint.layout import open_files
    from flux2.pipeline import Flux2Pipeline
    from flux2.store.source import repo_to_download
    from flux2.store.unknown_model import why_no_model

    vae = request.vae
    if vae and local_vae(vae) is None and find_card(vae) is None and (reason := why_no_model(vae, "an autoencoder")):
        raise RequestError(reason)
    files = find_files(request.model, vae, request.base, request.text_encoder)
    if files.is_here and (single_place(request.model) or not repo_to_download(request.model)):
        Flux2Pipeline(open_files(files), dtype=default_dtype(), quantization="bf16")


def _this_machine(dtype: str | None, limit: int | None) -> tuple[Engine, Budget]:
    from flux2.planning import this_machine

    return this_machine.engine(dtype), this_machine.budget(limit)


def _facts(model: str, networks: Networks, plans: list[MemoryPlan], budget: Budget) -> dict[str, Any]:
    best = best_fit(plans, budget)
    return {
        "model": model,
        "budget": asdict(budget),
        "best": {"quantization": best.facts.quantization, "residency": best.facts.residency} if best else None,
        "prepared": sorted(networks.prepared),
        "plans": [
            {
                **_published(found),
                "peak": found.peak,
                "phase": found.phase,
                "verdict": budget.judge(found.peak),
                "machines": machines(networks, found.facts),
            }
            for found in plans
        ],
    }


def _published(found: MemoryPlan) -> dict[str, Any]:
    """A plan's fields by the names that programs know from `--json`."""
    fields = asdict(found)
    facts = {"backend" if name == "device" else name: value for name, value in fields.pop("facts").items()}
    return {"setting": facts, **fields}


def _text(model: str, networks: Networks, plans: list[MemoryPlan], budget: Budget) -> str:
    setting, best = plans[0].facts, best_fit(plans, budget)
    header = ("LEVEL", "WEIGHTS", *(phase.upper() for phase in plans[0].peaks), "PEAK", "READ", "FROM", "HERE")
    table = _aligned([header, *(_row(found, networks, budget, found is best) for found in plans)])
    lines = [table[0]]
    for place, found in enumerate(plans):
        residency = found.facts.residency
        if place == 0 or residency != plans[place - 1].facts.residency:
            lines.append(f"{_GROUPS[residency]}:")
        lines.append(table[place + 1])
    passes = ", two passes per step" if setting.guided else ""
    tight = any(budget.judge(found.peak) == "tight" for found in plans)
    return "\n".join(
        [
            f"{model}, {setting.width}×{setting.height}, {setting.dtype}{passes}; peak of each phase in MiB",
            *lines,
            "READ: from the disk per step. FROM: the smallest Apple machine, GB.",
            *_advice(plans),
            *(["(p): read from the files that flux2 quantize made."] if networks.prepared else []),
            *(["(d): the transformer is let go before the decode."] if any(p.drops_transformer for p in plans) else []),
            *(["tight: it fits when other programs make room."] if tight else []),
            f"A run may take {_mib(budget.limit)} MiB here; other programs leave {_mib(budget.available)} now.",
        ]
    )


def _advice(plans: list[MemoryPlan]) -> list[str]:
    """What streaming would read of files that are not there yet."""
    reads = [f"{found.facts.quantization} {_mib(found.read_if_prepared)}" for found in plans if found.read_if_prepared]
    told = f"READ of the files that flux2 quantize makes, so that no step quantizes: {', '.join(reads)}."
    return textwrap.wrap(told, _WIDTH) if reads else []


def _row(found: MemoryPlan, networks: Networks, budget: Budget, is_best: bool) -> tuple[str, ...]:
    level = found.facts.quantization
    marks = " (p)" * (level in networks.prepared) + " (d)" * found.drops_transformer
    return (
        f"  {level}{marks}",
        *map(_mib, (found.weights, *found.peaks.values(), found.peak)),
        _mib(found.read_per_step) if found.read_per_step else "",
        str(next(iter(machines(networks, found.facts)), "–")),
        budget.judge(found.peak) + " ← auto" * is_best,
    )


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """The first and the last column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for first, *numbers, last in rows:
        aligned = [number.rjust(width) for number, width in zip(numbers, widths[1:-1], strict=True)]
        lines.append("  ".join([first.ljust(widths[0]), *aligned, last]).rstrip())
    return lines


def _mib(count: int) -> str:
    return f"{count / _MIB:,.0f}"
