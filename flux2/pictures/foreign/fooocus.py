"""Fooocus' own scheme and RuinedFooocus': JSON in `parameters` or the EXIF user comment.

Its other scheme, "a1111", is read by `flux2.pictures.foreign.a1111`.
Source: modules/meta_parser.py in lllyasviel/Fooocus.
"""

from __future__ import annotations

from typing import Any

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import OWN_SAMPLER, FoundSettings

_REASONS = {
    **dict.fromkeys(("sampler", "sampler_name", "scheduler"), OWN_SAMPLER),
    "styles": "Fooocus' styles add words that there are not here",
}
_SILENT = {
    *("metadata_scheme", "version", "created_by", "base_model_hash", "full_prompt", "full_negative_prompt", "software"),
    *("loras", "prompt_expansion"),
}

_MARKS = {"resolution", "metadata_scheme", "base_model"}


def read_fooocus(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by Fooocus or RuinedFooocus."""
    data = candidate.data
    if data.get("software") == "RuinedFooocus":
        names = {"prompt": "Prompt", "negative": "Negative", "guidance": "cfg", "model": "base_model_name"}
    elif "prompt" in data and data.keys() & _MARKS:
        names = {"negative": "negative_prompt", "guidance": "guidance_scale", "model": "base_model"}
    else:
        return None
    settings = dict(data)
    found = FoundSettings("RuinedFooocus" if "Prompt" in data else "Fooocus")
    found.take_prompts(settings.pop(names.get("prompt", "prompt"), None), settings.pop(names["negative"], None))
    found.take("steps", settings.pop("steps", None))
    found.take("seed", settings.pop("seed", None))
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    found.take_size_text(settings.pop("resolution", None))
    found.take_model(settings.pop(names["model"], None))
    found.take_guidance(settings.pop(names["guidance"], None))
    _take_loras(found, settings)
    found.leave_out_rest({name: value for name, value in settings.items() if value != "[]"}, _REASONS, _SILENT)
    return found


def _take_loras(found: FoundSettings, settings: dict[str, Any]) -> None:
    """LoRAs as a list of (name, weight, hash), or, in older versions, as `name : weight` under names of their own."""
    for lora in settings.get("loras") or ():
        if isinstance(lora, list) and lora:
            found.take_lora(lora[0], lora[1] if len(lora) > 1 else None)
    for key in [key for key in settings if key.startswith("lora_combined_")]:
        name, _, weight = str(settings.pop(key)).rpartition(" : ")
        found.take_lora(name or weight, weight if name else None)
