"""Whether a request fits this machine: what `auto` takes, and what would fit in place of what does not. No MLX."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import product

from flux2 import humanize
from flux2.architecture.catalog import find_card, label
from flux2.architecture.guidance import DEFAULTS, is_guided
from flux2.architecture.reference_sizes import Size, prepared_size
from flux2.inputs.checks import AUTO, MIN_SIZE, QUANTIZATIONS, RESIDENCIES, SIZE_MULTIPLE
from flux2.lora.planned import lora_bytes
from flux2.planning.budget import MACHINES, Budget, Verdict, machine_limit
from flux2.planning.output_size import output_size, reference_pixels
from flux2.planning.planner import MemoryPlan, plan, plan_all
from flux2.planning.run_facts import Engine, RunFacts
from flux2.request import GenerationRequest
from flux2.store.configs import Networks

SMALLER = (3 / 4, 1 / 2, 3 / 8, 1 / 4)
"""Shares of a picture's sides that are offered where nothing fits at the size asked for."""
SMALLER_REFERENCES = 512 * 512
"""Pixels of each reference that are offered where nothing fits with larger ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A request as it would be carried out, what that takes, and what there is."""

    request: GenerationRequest
    """The request with quantization and residency decided."""
    plan: MemoryPlan
    budget: Budget
    smaller: bool = False
    """Whether it is an alternative with a smaller picture."""
    shrinks_references: bool = False
    """Whether it is an alternative with smaller references."""

    @property
    def verdict(self) -> Verdict:
        return self.budget.judge(self.plan.peak)

    @property
    def name(self) -> str:
        """`klein-4b int4 streamed at 1024×1024 with 4 references`"""
        facts = self.plan.facts
        count = len(facts.references)
        references = f" with {count} reference{'s' * (count > 1)}" if count else ""
        return f"{label(self.request.model)} {self.level} at {facts.width}×{facts.height}{references}"

    @property
    def level(self) -> str:
        """`int4`, or `int4 streamed`"""
        facts = self.plan.facts
        return f"{facts.quantization} streamed" if facts.residency == "streamed" else facts.quantization

    @property
    def need(self) -> str:
        """`needs 18.4 GiB (denoise) of the 10.7 GiB that there are`"""
        peak = f"{humanize.size(self.plan.peak)} ({self.plan.phase})"
        return f"needs {peak} of the {humanize.size(self.budget.limit)} that there are"

    @property
    def reason(self) -> str:
        """Why it was taken."""
        if self.verdict == "does not fit":
            return "the smallest, for none fits"
        return "the best that fits" if self.verdict == "fits" else "what asks least of other programs"


def weigh(request: GenerationRequest, networks: Networks, engine: Engine, budget: Budget) -> Fit:
    """Decide what the request leaves to `AUTO`: as `best_fit` does, else the smallest."""
    facts = facts_of(request, networks, engine)
    levels = QUANTIZATIONS if request.quantization == AUTO else (request.quantization,)
    residencies = RESIDENCIES if request.residency == AUTO else (request.residency,)
    plans = [
        plan(networks, replace(facts, quantization=quantization, residency=residency), budget)
        for residency, quantization in product(residencies, levels)
    ]
    best = best_fit(plans, budget) or min(plans, key=lambda found: found.peak)
    return Fit(request=_with(request, best.facts), plan=best, budget=budget)


def alternatives(fit: Fit, networks: Networks) -> list[Fit]:
    """What would fit in its place, the best first: as asked for, or where nothing does, with smaller references, then
    at a smaller size, too."""
    for other in _variants(fit):
        plans = plan_all(networks, other.plan.facts, fit.budget)
        fits = [found for found in plans if fit.budget.judge(found.peak) != "does not fit"]
        if fits:
            return [replace(other, request=_with(other.request, found.facts), plan=found) for found in fits]
    return []


def _variants(fit: Fit) -> Iterator[Fit]:
    """The fit itself, and what takes less and less, its plan's facts alone made anew."""
    yield fit
    smallest = fit
    references = prepared_references(fit.request, SMALLER_REFERENCES)
    if sum(map(math.prod, references)) < sum(map(math.prod, fit.plan.facts.references)):
        request = replace(fit.request, reference_pixels=SMALLER_REFERENCES)
        facts = replace(fit.plan.facts, references=references)
        smallest = replace(fit, request=request, plan=replace(fit.plan, facts=facts), shrinks_references=True)
        yield smallest
    for width, height in _smaller(fit.plan.facts):
        request = replace(smallest.request, width=width, height=height)
        facts = replace(smallest.plan.facts, width=width, height=height)
        yield replace(smallest, request=request, plan=replace(fit.plan, facts=facts), smaller=True)


def machines(networks: Networks, facts: RunFacts) -> list[int]:
    """Which of the sizes that Apple machines are sold with this fits, on their GPU; GB."""
    there = replace(facts, dtype="bfloat16", device="gpu")
    budgets = {size: Budget(limit=machine_limit(size << 30), available=size << 30) for size in MACHINES}
    peaks = {size: plan(networks, there, budget).peak for size, budget in budgets.items()}
    return [size for size, budget in budgets.items() if budget.judge(peaks[size]) != "does not fit"]


def best_fit(plans: Iterable[MemoryPlan], budget: Budget) -> MemoryPlan | None:
    """The best of plans, best first: one whose weights stay in memory before any that streams; None if none fits.

    Among those, the first that fits, else the smallest that is tight. Where it is tight, other programs give way once,
    while it loads, and to the smallest the least; streaming is paid for in every step of every picture, and the disk's
    cache wants the memory that they hold just as well.
    """
    judged = [(budget.judge(found.peak), found) for found in plans]
    for residency in RESIDENCIES:
        ours = [(verdict, found) for verdict, found in judged if found.facts.residency == residency]
        fitting = next((found for verdict, found in ours if verdict == "fits"), None)
        tight = [found for verdict, found in ours if verdict == "tight"]
        if best := fitting or min(tight, key=lambda found: found.peak, default=None):
            return best
    return None


def facts_of(request: GenerationRequest, networks: Networks, engine: Engine) -> RunFacts:
    """What the request's memory depends on, with the model's defaults for what it leaves open."""
    card = find_card(request.model)
    width, height = output_size(request, card, card.size if card else (networks.vae.sample_size,) * 2)
    most = reference_pixels(request, card)
    guidance = request.guidance
    if guidance is None:
        _, guidance = (card.steps, card.guidance) if card else DEFAULTS[networks.guidance]
    return RunFacts(
        quantization=request.quantization,
        residency=request.residency,
        keep_text_encoder=request.keep_text_encoder,
        keep_transformer=engine.keep_transformer,
        width=width,
        height=height,
        dtype=engine.dtype,
        device=engine.device,
        guided=is_guided(networks.guidance, guidance),
        text_tokens=request.max_sequence_length or 0,
        references=prepared_references(request, most),
        source=request.source is not None,
        source_as_reference=request.shows_source,
        caches_references=networks.caches_references,
        lora_bytes=lora_bytes(request.loras, networks.transformer, engine.dtype),
    )


def prepared_references(request: GenerationRequest, most_pixels: int | None) -> tuple[Size, ...]:
    """Width and height of each of its references as it is encoded, pixels.

    Args:
        most_pixels: what each is shrunk to where it has more; None is diffusers' 1024².
    """
    return tuple(prepared_size(each.width, each.height, most_pixels).cropped for each in request.references)


def _with(request: GenerationRequest, facts: RunFacts) -> GenerationRequest:
    return replace(request, quantization=facts.quantization, residency=facts.residency)


def _smaller(facts: RunFacts) -> Iterator[tuple[int, int]]:
    """Sizes of the same shape, as far as their sides are allowed."""
    for share in SMALLER:
        width, height = (int(side * share) // SIZE_MULTIPLE * SIZE_MULTIPLE for side in (facts.width, facts.height))
        if min(width, height) >= MIN_SIZE:
            yield width, height
