"""One picture with its LoRAs at several strengths: without them, at half, and as asked."""

from __future__ import annotations

from dataclasses import replace

from flux2.request import GenerationRequest

SHARES = {0.0: "without", 0.5: "half strength", 1.0: "full strength"}
"""What is made of the strengths that a request asks for, and the word for it."""


def strength_set(request: GenerationRequest) -> dict[str, GenerationRequest]:
    """Requests of one picture with other strengths, by the word for each, to be saved under names of their own."""
    return {
        word: replace(
            request, loras=tuple(replace(lora, scale=lora.scale * share) for lora in request.loras), output=None
        )
        for share, word in SHARES.items()
    }
