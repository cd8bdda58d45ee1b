"""InvokeAI in its three forms: `invokeai_metadata` (version 3 on), `sd-metadata` (2), and `Dream`, a command line (1).

Sources: invokeai/app/invocations/metadata.py, and ldm/invoke/args.py of version 2, in invoke-ai/InvokeAI.
"""

from __future__ import annotations

import shlex
from typing import Any

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_PICTURES, OWN_SAMPLER, FoundSettings

_REASONS = {
    **dict.fromkeys(("scheduler", "sampler"), OWN_SAMPLER),
    **dict.fromkeys(("init_image", "strength", "ref_images", "init_mask", "canvas_v2_metadata"), NO_PICTURES),
    **dict.fromkeys(("controlnets", "ipadapters", "t2iadapters", "regions"), "there are no such adapters here"),
}
_SILENT = {
    *("app_version", "rand_device", "generation_mode", "positive_style_prompt", "negative_style_prompt", "loras"),
    *(
        "_canvas_objects",
        "postprocessing",
        "type",
        "variations",
        "threshold",
        "perlin",
        "qwen3_encoder",
        "vae",
        "t5_encoder",
    ),
    *("cfg_rescale_multiplier", "clip_skip", "clip_embed_model", "mistral_encoder"),
}
_DREAM = {"s": "steps", "S": "seed", "C": "cfg_scale", "W": "width", "H": "height", "A": "sampler", "I": "init_image"}


def read_invokeai(candidate: Candidate) -> FoundSettings | None:
    """Settings of a picture by InvokeAI."""
    data = candidate.data
    if "positive_prompt" in data:
        return _read(data, data["positive_prompt"], data.get("negative_prompt"), data.get("model"))
    if candidate.name == "sd-metadata" and isinstance(image := data.get("image"), dict):
        prompt, negative = _parted(_joined(image.get("prompt")))
        return _read(image, prompt, negative, data.get("model_weights"))
    if candidate.name == "Dream" and not data:
        return _read_dream(candidate.text)
    return None


def _read(data: dict[str, Any], prompt: Any, negative: Any, model: Any) -> FoundSettings:
    settings = {name: value for name, value in data.items() if name not in ("positive_prompt", "negative_prompt")}
    found = FoundSettings("InvokeAI")
    found.take_prompts(prompt, negative)
    found.take("steps", settings.pop("steps", None))
    found.take("seed", settings.pop("seed", None))
    found.take_size(settings.pop("width", None), settings.pop("height", None))
    found.take_model(model)
    found.take_guidance(settings.pop("cfg_scale", None), settings.pop("guidance", None))
    for lora in settings.get("loras") or ():
        if not isinstance(lora, dict):
            found.take_lora(lora)
            continue
        named = lora.get("model") or lora.get("lora") or {}
        name = named.get("name") or named.get("model_name") if isinstance(named, dict) else named
        found.take_lora(name or "without a name", lora.get("weight"))
    found.leave_out_rest(
        {name: value for name, value in settings.items() if name not in ("model", "prompt")}, _REASONS, _SILENT
    )
    return found


def _read_dream(line: str) -> FoundSettings | None:
    """A prompt in quotes, then such as `-s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms`."""
    try:
        words = shlex.split(line)
    except ValueError:  # an apostrophe in a prompt without quotes
        return None
    first = next((place for place, word in enumerate(words) if word.startswith("-")), len(words))
    flags: dict[str, Any] = {}
    rest = iter(words[first:])
    for word in rest:
        name = word.lstrip("-")
        if name[:1] in _DREAM and not word.startswith("--"):
            flags[_DREAM[name[0]]] = name[1:] or next(rest, None)
        else:
            flags[name] = True
    if not {"steps", "seed"} & flags.keys():
        return None
    prompt, negative = _parted(" ".join(words[:first]))
    return _read(flags, prompt, negative, None)


def _joined(prompt: Any) -> str:
    """The text of a prompt that may be one, or a list of some with weights."""
    if isinstance(prompt, list):
        return " ".join(str(part.get("prompt", "")) for part in prompt if isinstance(part, dict))
    return str(prompt or "")


def _parted(prompt: str) -> tuple[str, str]:
    """The prompt, and what stands in square brackets in it: the negative prompt in versions 1 and 2."""
    words, negative = [], []
    for place, part in enumerate(prompt.split("[")):
        inside, bracket, after = part.partition("]")
        if place and bracket:
            negative.append(inside.strip())
            words.append(after)
        else:
            words.append(part)
    return "".join(words).strip(), ", ".join(negative)
