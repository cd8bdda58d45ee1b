"""One picture at every quantization: what must be made, what is there, and how the others differ from bf16."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flux2.inputs.checks import QUANTIZATIONS
from flux2.pictures.gallery import Picture
from flux2.request import GenerationRequest
from flux2.request_fields import decisive

REFERENCE = "bf16"


def quantization_set(request: GenerationRequest) -> tuple[GenerationRequest, ...]:
    """Requests of one prompt, seed and settings at every level, to be saved under names of their own."""
    return tuple(replace(request, quantization=name, output=None) for name in QUANTIZATIONS)


def find(request: GenerationRequest, pictures: Iterable[Picture]) -> Picture | None:
    """The first of these pictures that was made with the same settings."""
    wanted = decisive(request)
    return next((it for it in pictures if it.request is not None and decisive(it.request) == wanted), None)
