"""What becomes of each reference picture, and what they cost, said before a run."""

from __future__ import annotations

from typing import Any

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.humanize import printable
from flux2.planning.run_facts import RunFacts, picture_tokens
from flux2.planning.step_work import growth, told_growth
from flux2.request import GenerationRequest


def references_of(request: GenerationRequest, facts: RunFacts) -> list[dict[str, Any]]:
    """Each with the number that a prompt calls it by, its file's name and size, its size as it is taken, its tokens."""
    pairs = zip(request.references, facts.references, strict=True)
    return [
        {
            "image": number,
            "name": each.name,
            "width": each.width,
            "height": each.height,
            "taken_as": [width, height],
            "tokens": picture_tokens([(width, height)]),
        }
        for number, (each, (width, height)) in enumerate(pairs, request.first_number)
    ]


def in_json(request: GenerationRequest, config: Flux2TransformerConfig, facts: RunFacts) -> dict[str, Any]:
    """What `flux2 plan --json` says of them."""
    return {"references": references_of(request, facts), "step_growth": round(growth(config, facts), 3)}


def lines(request: GenerationRequest, config: Flux2TransformerConfig, facts: RunFacts) -> list[str]:
    """What `flux2 plan` says of them, none without any."""
    told = [
        printable(f"image {each['image']}: {each['name']}, {each['width']}×{each['height']}")
        + f", taken as {each['taken_as'][0]}×{each['taken_as'][1]}: {each['tokens']:,} tokens"
        for each in references_of(request, facts)
    ]
    cost = told_growth(config, facts)
    return [*told, f"{cost}."] if cost else told
