"""Easy Diffusion: a text of its own for each setting, in PNG; one JSON of the same names in JPEG and WebP."""

from __future__ import annotations

from typing import Any

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_COUNTERPART, NO_PICTURES, OWN_SAMPLER, FoundSettings, number

_MARKS = ("num_inference_steps", "use_stable_diffusion_model")
_OTHERS = {
    **dict.fromkeys(("sampler_name", "scheduler_name"), OWN_SAMPLER),
    **dict.fromkeys(("init_image", "prompt_strength", "mask"), NO_PICTURES),
    **dict.fromkeys(
        ("use_controlnet_model", "use_upscale", "use_face_correction", "hypernetwork_strength"), NO_COUNTERPART
    ),
}


def read_easy_diffusion(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by Easy Diffusion."""
    if all(mark in candidate.data for mark in _MARKS):
        settings: dict[str, Any] = candidate.data
    elif candidate.name == "prompt" and candidate.text[:1] not in "{[" and number(candidate.others.get(_MARKS[0])):
        settings = {**candidate.others, "prompt": candidate.text}
    else:
        return None
    found = FoundSettings("Easy Diffusion")
    found.take_prompts(settings.get("prompt"), settings.get("negative_prompt"))
    found.take("steps", settings.get("num_inference_steps"))
    found.take("seed", settings.get("seed"))
    found.take_size(settings.get("width"), settings.get("height"))
    found.take_model(settings.get("use_stable_diffusion_model"))
    found.take_guidance(settings.get("guidance_scale"))
    lora = settings.get("use_lora_model")
    if lora and lora != "None":
        found.take_lora(lora, settings.get("lora_alpha"))
    found.leave_out_rest({name: settings[name] for name in _OTHERS if name in settings}, _OTHERS, ())
    return found
