"""mflux: JSON in the EXIF user comment, in versions up to 0.10 without the eight bytes that name its encoding."""

from __future__ import annotations

from flux2.architecture.levels import LEVELS
from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_COUNTERPART, NO_PICTURES, FoundSettings, number

_LEVELS: dict[int | float | None, str] = {
    level.bits: level.name for level in LEVELS.values() if level.bits and not level.finer
}
_REASONS = {
    **dict.fromkeys(("image_path", "image_paths", "image_strength", "init_image", "masked_image_path"), NO_PICTURES),
    **dict.fromkeys(("depth_image_path", "redux_image_paths", "controlnet_image_path"), NO_PICTURES),
}
_SILENT = {
    *("mflux_version", "generation_time_seconds", "generation_time", "created_at", "precision", "base_model"),
    *("image_strength", "controlnet_strength", "controlnet_save_canny", "redux_image_strengths"),
}


def read_mflux(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by mflux."""
    if "mflux_version" not in candidate.data:
        return None
    settings = dict(candidate.data)
    found = FoundSettings("mflux")
    found.take_prompts(settings.pop("prompt", None), settings.pop("negative_prompt", None))
    found.take("steps", settings.pop("steps", None))
    found.take("seed", settings.pop("seed", None))
    found.take("noise", "mlx")
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    found.take_model(settings.pop("model", None) or settings.get("base_model"))
    found.take_guidance(settings.pop("guidance", None))
    bits = settings.pop("quantize", None)
    if level := _LEVELS.get(number(bits)):
        found.take("quantization", level)
    elif bits:
        found.leave_out("quantize", bits, NO_COUNTERPART)
    paths, scales = (settings.pop(name, None) or [] for name in ("lora_paths", "lora_scales"))
    for place, path in enumerate(paths if isinstance(paths, list) else [paths]):
        found.take_lora(
            str(path).rpartition("/")[2], scales[place] if isinstance(scales, list) and place < len(scales) else None
        )
    found.leave_out_rest(settings, _REASONS, _SILENT)
    return found
