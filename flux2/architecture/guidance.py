"""What a guidance scale does in a model, and what is taken where nobody names steps and scale."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Guidance = Literal["distilled", "embedded", "classifier-free"]
"""What a guidance scale does: nothing, for its effect is in the weights; it is an input of the network; it weighs two
passes per step against each other, with the prompt and with the negative one."""
DEFAULTS: dict[Guidance, tuple[int, float]] = {
    "distilled": (4, 1.0),
    "embedded": (28, 4.0),
    "classifier-free": (50, 4.0),
}
"""Steps and guidance scale where nobody says otherwise (the model cards' recommendations)."""


def guidance_of(index: Mapping[str, Any]) -> Guidance:
    """The kind that the pipeline in model_index.json has."""
    if index.get("_class_name") == "Flux2Pipeline":
        return "embedded"
    if index.get("_class_name") == "Flux2KleinKVPipeline":  # which has no undistilled form, and is so by default
        return "distilled"
    return "distilled" if index.get("is_distilled") else "classifier-free"


def is_guided(guidance: Guidance, scale: float) -> bool:
    """Whether each step has a second pass, for the negative prompt: at a scale of 1 it would weigh nothing."""
    return guidance == "classifier-free" and scale > 1.0
