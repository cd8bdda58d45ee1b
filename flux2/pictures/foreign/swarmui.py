"""SwarmUI: JSON with `sui_image_params`, in `parameters` of a PNG and the EXIF user comment of a JPEG.

Source: docs/Image Metadata Format.md in mcmonkeyprojects/SwarmUI.
"""

from __future__ import annotations

from itertools import zip_longest
from typing import Any

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_PICTURES, OWN_SAMPLER, FoundSettings

_REASONS = {
    **dict.fromkeys(("sampler", "scheduler", "sigmashift", "comfyuisampler", "comfyuischeduler"), OWN_SAMPLER),
    **dict.fromkeys(("initimage", "initimagecreativity", "promptimages", "maskimage"), NO_PICTURES),
}
_SILENT = {
    *("swarm_version", "date", "aspectratio", "sidelength", "generation_time", "prep_time", "imageformat", "images"),
    *("nopreviews", "automaticvae", "wildcardseed", "used_wildcards", "original_prompt", "original_negativeprompt"),
    *("donotsave", "personalnote", "loras", "loraweights", "lorasectionconfinement", "batchsize"),
}


def read_swarmui(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by SwarmUI."""
    if "sui_image_params" not in candidate.data:
        return None
    settings: dict[str, Any] = dict(candidate.data["sui_image_params"])
    found = FoundSettings("SwarmUI")
    found.take_prompts(settings.pop("prompt", None), settings.pop("negativeprompt", None))
    found.take("steps", settings.pop("steps", None))
    found.take("seed", settings.pop("seed", None))
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    found.take_model(settings.pop("model", None))
    found.take_guidance(settings.pop("cfgscale", None), settings.pop("fluxguidancescale", None))
    loras, weights = (_listed(settings.get(name)) for name in ("loras", "loraweights"))
    for lora, weight in zip_longest(loras, weights[: len(loras)]):
        found.take_lora(lora, weight)
    found.leave_out_rest(settings, _REASONS, _SILENT)
    return found


def _listed(value: Any) -> list[Any]:
    """A list that may be written as one text with commas."""
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else []
