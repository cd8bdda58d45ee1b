"""The question before a run that seems not to fit: what would, or to try all the same."""

from __future__ import annotations

import sys
from dataclasses import replace

from flux2 import humanize
from flux2.errors import CheckpointError, Flux2Error, RequestError
from flux2.planning.fit import SMALLER_REFERENCES, Fit, alternatives, weigh
from flux2.request import GenerationRequest
from flux2.store.configs import networks_for

_NAMED = 3  # alternatives in a sentence, the best; where somebody can answer, all are listed


def ask_if_too_large(
    request: GenerationRequest, dtype: str | None, memory_budget: int | None, *, ask: bool
) -> GenerationRequest:
    """The request itself where it fits or is forced; else what the user takes in its place.

    Args:
        ask: whether somebody is at the terminal to answer.

    Raises:
        RequestError: if the budget makes no sense.
        Flux2Error: if the user takes nothing, or nobody is there to ask.
    """
    if request.force:
        return request
    from flux2.planning import this_machine

    engine, budget = replace(this_machine.engine(dtype), keep_transformer=False), this_machine.budget(memory_budget)
    try:
        networks = networks_for(request)
        fit = weigh(request, networks, engine, budget)
    except (RequestError, CheckpointError):
        return request  # not here yet, or damaged: the engine will know
    if fit.verdict != "does not fit":
        return request
    others = alternatives(fit, networks)
    if not ask:
        raise Flux2Error(f"{_complaint(fit)}; {_remedies(others, fit)}--force runs it all the same.")
    return _ask(fit, others)


def _ask(fit: Fit, others: list[Fit]) -> GenerationRequest:
    lines = [f"{_complaint(fit)}.", *_choices(others)]
    numbers = f"{_numbers(others)} for what fits, " if others else ""
    question = f"{numbers}y to run it all the same, n to leave it [n]: "
    print("\n".join(lines), file=sys.stderr)
    while True:
        print(question, end="", file=sys.stderr, flush=True)
        answer = sys.stdin.readline().strip().lower()
        if answer in ("y", "yes"):
            return replace(fit.request, force=True)
        if answer in ("", "n", "no"):
            raise Flux2Error("Nothing was made, as you chose.")
        if answer.isdecimal() and 1 <= int(answer) <= len(others):
            return others[int(answer) - 1].request


def _complaint(fit: Fit) -> str:
    return f"{fit.name} does not fit: it {fit.need}"


def _remedies(others: list[Fit], fit: Fit) -> str:
    """`--transformer-quant int4 (6.1 GiB) or --residency streamed (3.4 GiB) would fit, and `"""
    if not others:
        return "fewer references would take less, and " if fit.request.references else ""
    named = [f"{_arguments(other)} ({humanize.size(other.plan.peak)})" for other in others[:_NAMED]]
    return f"{' or '.join(named)} would fit, and "


def _arguments(fit: Fit) -> str:
    setting = fit.plan.facts
    size = f" --width {setting.width} --height {setting.height}" if fit.smaller else ""
    references = f" --reference-pixels {SMALLER_REFERENCES}" if fit.shrinks_references else ""
    return f"--transformer-quant {setting.quantization} --residency {setting.residency}{size}{references}"


def _choices(others: list[Fit]) -> list[str]:
    """A line each, with its number."""
    names = [other.level + _size(other) for other in others]
    width = max(map(len, names), default=0)
    return [
        f"  {number}  {name:<{width}}  {humanize.size(other.plan.peak):>8}  {other.verdict}{_reading(other)}"
        for number, (name, other) in enumerate(zip(names, others, strict=True), start=1)
    ]


def _size(fit: Fit) -> str:
    size = f" at {fit.plan.facts.width}×{fit.plan.facts.height}" if fit.smaller else ""
    return size + " with smaller references" * fit.shrinks_references


def _reading(fit: Fit) -> str:
    read, prepared = fit.plan.read_per_step, fit.plan.read_if_prepared
    after = f" ({humanize.size(prepared)} after flux2 quantize)" if prepared else ""
    return f", reads {humanize.size(read)} in every step{after}" if read else ""


def _numbers(others: list[Fit]) -> str:
    return "1" if len(others) == 1 else f"1 to {len(others)}"
