"""NovelAI: JSON in the text `Comment`."""

from __future__ import annotations

from typing import Any

from flux2.pictures.foreign.candidate import Candidate, parsed
from flux2.pictures.foreign.found import NO_PICTURES, OWN_SAMPLER, FoundSettings

_REASONS = {
    **dict.fromkeys(("sampler", "noise_schedule", "sm", "sm_dyn"), OWN_SAMPLER),
    **dict.fromkeys(("strength", "noise", "image", "mask", "reference_strength_multiple"), NO_PICTURES),
    "characters": "there are no prompts for parts of a picture here",
}
_SILENT = {
    *("version", "signed_hash", "request_type", "n_samples", "v4_prompt", "v4_negative_prompt", "uncond_scale"),
    *("reference_information_extracted_multiple", "extra_noise_seed", "legacy_uc", "cfg_rescale", "stream"),
    *("uncond_per_vibe", "wonky_vibe_correlation", "skip_cfg_below_sigma", "lora_unet_weights", "lora_clip_weights"),
    *("cfg_sched_eligibility", "explike_fine_detail", "minimize_sigma_inf", "dynamic_thresholding_percentile"),
    *(
        "dynamic_thresholding_mimic_scale",
        "controlnet_strength",
        "params_version",
        "prefer_brownian",
        "legacy_v3_extend",
    ),
    *("deliberate_euler_ancestral_bug", "skip_cfg_above_sigma", "uncond_per_vibe", "director_reference_strengths"),
}


def read_novelai(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by NovelAI."""
    data = candidate.data
    if isinstance(data.get("Comment"), str):  # one text that holds them all, as in WebP
        data = parsed(data["Comment"])
    if not ("uc" in data or "v4_prompt" in data) or not ("prompt" in data and "scale" in data):
        return None
    settings = dict(data)
    found = FoundSettings("NovelAI")
    found.take_prompts(settings.pop("prompt"), settings.pop("uc", None))
    found.take("steps", settings.pop("steps", None))
    found.take("seed", settings.pop("seed", None))
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    found.take_model(candidate.others.get("Source"))
    found.take_guidance(settings.pop("scale"))
    settings["characters"] = _characters(data.get("v4_prompt"))
    found.leave_out_rest(settings, _REASONS, _SILENT)
    return found


def _characters(prompt: Any) -> str:
    """The prompts of single characters, which stand beside the picture's."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    captions = caption.get("char_captions") if isinstance(caption, dict) else None
    return "; ".join(str(one.get("char_caption", "")) for one in captions or () if isinstance(one, dict))
