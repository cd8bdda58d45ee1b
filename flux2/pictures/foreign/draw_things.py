"""Draw Things: JSON in XMP's `exif:UserComment`, or in EXIF's."""

from __future__ import annotations

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_PICTURES, OWN_SAMPLER, FoundSettings

_REASONS = {**dict.fromkeys(("sampler", "shift"), OWN_SAMPLER), "strength": NO_PICTURES}
_SILENT = {"v2", "lora", "profile", "seed_mode", "mask_blur", "model", "mask_blur_outset", "batch_size"}


def read_draw_things(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by Draw Things. What the short names do not say, `v2`, its whole configuration, may."""
    data = candidate.data
    if "c" not in data or not data.keys() & {"uc", "steps", "seed", "size", "v2"}:
        return None
    settings = dict(data)
    whole = data["v2"] if isinstance(data.get("v2"), dict) else {}
    found = FoundSettings("Draw Things")
    found.take_prompts(settings.pop("c"), settings.pop("uc", None))
    found.take("steps", settings.pop("steps", whole.get("steps")))
    found.take("seed", settings.pop("seed", whole.get("seed")))
    if size := settings.pop("size", None):
        found.take_size_text(size)
    else:
        found.take_size(whole.get("width"), whole.get("height"))
    found.take_model(data.get("model") or whole.get("model"))
    embedded = whole.get("guidanceEmbed") if whole.get("speedUpWithGuidanceEmbed") is False else None
    found.take_guidance(settings.pop("scale", whole.get("guidanceScale")), embedded)
    for lora in data.get("lora") or whole.get("loras") or ():
        named = lora if isinstance(lora, dict) else {"file": lora}
        found.take_lora(named.get("model") or named.get("file") or "without a name", named.get("weight"))
    if settings.get("strength") == 1:
        del settings["strength"]
    found.leave_out_rest(settings, _REASONS, _SILENT)
    return found
