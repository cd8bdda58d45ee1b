"""How much a denoising step computes, from config files alone: what reference pictures cost in time before a run."""

from __future__ import annotations

from dataclasses import replace

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.planning.run_facts import RunFacts


def step_work(config: Flux2TransformerConfig, tokens: int, cached: int = 0) -> int:
    """Multiplications in the blocks of a step, of all its tokens: the text's, the picture's and the references'.

    Every token is multiplied with a block's weights, those of its stream in a double block, which are as many as a
    single block's; and attends to every token.

    Args:
        cached: tokens that are attended to, and were computed by an earlier step.
    """
    width, mlp = config.width, config.mlp_width
    weights = 4 * width * width + 3 * width * mlp
    blocks = config.num_layers + config.num_single_layers
    return blocks * tokens * (weights + 2 * (tokens + cached) * width)


def growth(config: Flux2TransformerConfig, facts: RunFacts) -> float:
    """How many times as long a step takes as without references; one that fills no cache, where they are cached.

    Args:
        facts: with the text tokens known.
    """
    alone = facts.text_tokens + facts.image_tokens
    return growth_by(config, alone, facts.reference_tokens, cached=facts.caches_references)


def growth_by(config: Flux2TransformerConfig, alone: int, references: int, *, cached: bool) -> float:
    """How many times as long a step takes with so many tokens of references beside those that are there `alone`.

    Args:
        cached: whether an earlier step computed them.
    """
    kept = references if cached else 0
    return step_work(config, alone + references - kept, kept) / step_work(config, alone)


def told_growth(config: Flux2TransformerConfig, facts: RunFacts) -> str:
    """What references cost in time, before a run: `4 references: each step takes 7.6 × as long`; "" without any."""
    count = len(facts.references) + facts.source_as_reference
    if not facts.reference_tokens:
        return ""
    pictures = "1 reference" if count == 1 else f"{count} references"
    times = f"{growth(config, facts):.1f} × as long"
    if not facts.caches_references:
        return f"{pictures}: each step takes {times}"
    first = growth(config, replace(facts, caches_references=False))
    return f"{pictures}: the first step takes {first:.1f} × as long, each further one {times}"
