"""What of a request a model can carry out and yet not as it was meant, perhaps."""

from __future__ import annotations

from collections.abc import Iterator

from flux2.architecture.catalog import ModelCard
from flux2.architecture.guidance import Guidance
from flux2.inputs.source import strength_cautions
from flux2.request import GenerationRequest

GUIDE_REFERENCES: dict[Guidance, int] = {"distilled": 4, "classifier-free": 4, "embedded": 6}
"""References that Black Forest Labs' guide says are of use, for Klein and for Dev."""


def cautions(request: GenerationRequest, card: ModelCard | None, kind: Guidance) -> Iterator[str]:
    """A sentence for each.

    Args:
        request: with its defaults filled in.
        card: the model's; None for one that is not in the catalog.
        kind: how the model is guided.
    """
    size, guidance = (request.width, request.height), request.guidance
    assert guidance is not None
    if card and card.only_these_sizes and size not in card.sizes:
        sizes = ", ".join(f"{w}×{h}" for w, h in card.sizes)
        yield f"{card.name} was trained for {sizes} only; {request.width}×{request.height} may not look right."
    most = GUIDE_REFERENCES[kind]
    if (count := len(request.references) + bool(request.source and request.shows_source)) > most:
        yield f"There are {count} references; for this model {most} are recommended at most, and some may do nothing."
    if kind == "distilled" and guidance != 1.0:
        yield f"This model is distilled and has its guidance built in; guidance {guidance:g} does nothing."
    if request.negative_prompt and kind != "classifier-free":
        yield "This model is distilled; the negative prompt does nothing."
    elif request.negative_prompt and guidance <= 1.0:
        yield "The negative prompt does nothing at guidance 1 or less."
    if request.strength is not None and request.steps and not request.keeps_by_mask:
        yield from strength_cautions(request.strength, request.steps)
