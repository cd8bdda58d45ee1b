"""One picture at every quantization: what must be made, what is there, and how the others differ from bf16."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flux2.architecture.catalog import find_card
from flux2.pictures.gallery import Picture
from flux2.request import QUANTIZATIONS, GenerationRequest

REFERENCE = "bf16"


def quantization_set(request: GenerationRequest) -> tuple[GenerationRequest, ...]:
    """Requests of one prompt, seed and settings at bf16, qint8 and int4, to be saved under names of their own."""
    return tuple(replace(request, quantization=name, output=None) for name in QUANTIZATIONS)


def identity(request: GenerationRequest) -> tuple[object, ...]:
    """What two requests for the same picture have in common; how it is computed (residency) is no part of it."""
    card = find_card(request.model)
    return (
        request.prompt,
        request.negative_prompt or "",
        card.name if card else request.model,
        request.vae,
        request.quantization,
        request.width,
        request.height,
        request.steps,
        request.guidance,
        request.seed,
        request.max_sequence_length,
    )


def find(request: GenerationRequest, pictures: Iterable[Picture]) -> Picture | None:
    """The first of these pictures that was made with the same settings."""
    wanted = identity(request)
    return next((it for it in pictures if it.request is not None and identity(it.request) == wanted), None)
