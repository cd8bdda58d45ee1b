"""How much longer a request's steps take for its reference pictures, from the request alone: nothing is looked up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flux2.architecture.catalog import card_of
from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.reference_caching import PIPELINE
from flux2.architecture.reference_sizes import prepared_size
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.errors import RequestError
from flux2.planning.output_size import output_size, reference_pixels
from flux2.planning.run_facts import picture_tokens
from flux2.planning.step_work import growth_by
from flux2.request import GenerationRequest


def request_growth(request: Mapping[str, Any]) -> float:
    """How many times as long a step takes as without references; 1 where the model's sizes are not known.

    Args:
        request: as `GenerationRequest.to_dict` has it.
    """
    card = card_of(request)
    known = ARCHITECTURES.get(card.name) if card else None
    if card is None or known is None:
        return 1.0
    try:
        asked = GenerationRequest.from_dict({"prompt": "-", **request})
    except RequestError:
        return 1.0
    most = reference_pixels(asked, card)
    width, height = output_size(asked, card, card.size)
    picture = picture_tokens([(width, height)])
    sizes = [prepared_size(each.width, each.height, most) for each in asked.references if each.width and each.height]
    references = sum(size.tokens for size in sizes) + (picture if asked.source and asked.shows_source else 0)
    alone = picture + (asked.max_sequence_length or MAX_TEXT_TOKENS)
    cached = known.index["_class_name"] == PIPELINE
    return growth_by(Flux2TransformerConfig.from_dict(known.transformer), alone, references, cached=cached)
