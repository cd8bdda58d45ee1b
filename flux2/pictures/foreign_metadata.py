"""Settings out of any picture: ours, AUTOMATIC1111's `parameters`, ComfyUI's `prompt` graph, mflux's EXIF comment.

What another program calls differently is translated, and what has no counterpart here is named, so that nobody takes a
half of the settings for all of them.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from flux2.architecture.catalog import MODELS
from flux2.errors import Flux2Error, RequestError
from flux2.pictures.image_metadata import CHUNK, ImageMetadata
from flux2.pictures.images import EXIF_COMMENT, read_texts
from flux2.request import MAX_SEED, MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE, GenerationRequest

MAX_TEXT = 1 << 20
"""Characters of a text that is looked at; Pillow unpacks no more of a chunk either."""
MAX_LINE = 20_000
"""Characters of a line of settings."""
MAX_NODES = 2000
"""Of a ComfyUI graph."""

Json = dict[str, Any]


@dataclass(slots=True)
class FoundSettings:
    """What a picture says about how it was made."""

    program: str
    """Whose words these are."""
    values: dict[str, Any] = field(default_factory=dict)
    """By the names of `GenerationRequest`'s fields; all of them valid."""
    left_out: list[str] = field(default_factory=list)
    """What could not be taken over, in a few words each."""


def read_settings_of(path: Path) -> FoundSettings:
    """The settings of the picture at `path`, as far as they go here. The pixels are not decoded.

    Raises:
        Flux2Error: if it is no PNG, a dangerous one, or says nothing that is understood.
    """
    texts = read_texts(path)
    for name, read in _READERS.items():
        if text := texts.get(name):
            try:
                if len(text) > MAX_TEXT:
                    raise ValueError("longer than any settings")
                found = read(text)
            except (ValueError, TypeError, AttributeError, LookupError, RecursionError) as error:
                raise Flux2Error(f"The settings in {path} are damaged ({error}); nothing was taken over.") from error
            if "prompt" in found.values:
                return found
    raise Flux2Error(f"{path} says nothing about how it was made; choose a picture with its settings in it.")


# --- the programs -----------------------------------------------------------------------------------------------------


def _read_ours(text: str) -> FoundSettings:
    request = ImageMetadata.from_json(text).request
    found = FoundSettings("flux2-tui")
    for item in fields(request):
        _take(found, item.name, getattr(request, item.name))
    return found


def _read_parameters(text: str) -> FoundSettings:
    """Prompt lines, `Negative prompt:` lines, and a last line of `Name: value` pairs, values with commas in quotes."""
    lines = text.strip().split("\n")
    settings = {}
    if len(lines[-1]) <= MAX_LINE and len(pairs := _PAIR.findall(lines[-1])) >= 3:
        settings = {name.strip(): value.strip().strip('"') for name, value in pairs}
        lines.pop()
    prompt, _, negative = "\n".join(lines).partition("\nNegative prompt:")
    found = FoundSettings("AUTOMATIC1111", {"prompt": prompt.strip()} if prompt.strip() else {})
    _take(found, "negative_prompt", negative.strip() or None)
    width, _, height = settings.pop("Size", "").partition("x")
    _take_size(found, _number(width), _number(height))
    for theirs, ours in (("Steps", "steps"), ("CFG scale", "guidance"), ("Seed", "seed")):
        _take(found, ours, _number(settings.pop(theirs, "")))
    if distilled := settings.pop("Distilled CFG Scale", None):  # Forge's name for what FLUX calls guidance
        _take(found, "guidance", _number(distilled))
    _take_model(found, settings.pop("Model", ""))
    _leave_out(found, {name: value for name, value in settings.items() if name not in _NO_SETTINGS})
    return found


_PAIR = re.compile(r'\s*(\w[\w \-/]{0,60}):\s*("(?:\\.|[^"\\])*"|[^,]*)(?:,|$)')
_NO_SETTINGS = ("Version", "Model hash", "Quantization")


def _read_mflux(text: str) -> FoundSettings:
    data = json.loads(text)
    if "mflux_version" not in data:
        return FoundSettings("mflux")
    found = FoundSettings("mflux")
    for name in ("prompt", "negative_prompt", "steps", "guidance", "seed"):
        _take(found, name, data.get(name))
    _take_size(found, data.get("width"), data.get("height"))
    _take_model(found, str(data.get("model") or data.get("base_model") or ""))
    if bits := data.get("quantize"):
        quantization = {4: "int4", 8: "qint8"}.get(bits)
        _take(found, "quantization", quantization) if quantization else _leave_out(found, {"quantize": bits})
    _leave_out(found, {name: data[name] for name in _MFLUX_ONLY if data.get(name)})
    return found


_MFLUX_ONLY = ("lora_paths", "image_path", "image_paths", "controlnet_image_path", "masked_image_path")


def _read_comfyui(text: str) -> FoundSettings:
    """The graph from its sampler backwards: the first node on the way that knows a value has the say."""
    nodes = json.loads(text)
    if not isinstance(nodes, dict) or len(nodes) > MAX_NODES:
        raise ValueError("its graph is none, or too large")
    found = FoundSettings("ComfyUI")
    samplers = [node for node in nodes.values() if "Sampler" in _kind(node) and _links(node)]
    if not samplers:
        return found
    upstream = list(_upstream(nodes, samplers[-1]))
    _take(found, "prompt", _prompt_of(nodes, upstream, ("positive", "conditioning")))
    _take(found, "negative_prompt", _prompt_of(nodes, upstream, ("negative",)) or None)
    for ours, theirs in _COMFYUI_NAMES.items():
        _take(found, ours, next(_values(upstream, theirs), None))
    _take_size(found, next(_values(upstream, ("width",)), None), next(_values(upstream, ("height",)), None))
    _take_model(found, str(next(_values(upstream, ("unet_name", "ckpt_name")), "")))
    found.left_out += [f"LoRA {lora}" for lora in _values(upstream, ("lora_name",))]
    if any("LoadImage" in _kind(node) for node in upstream):
        _leave_out(found, {"input image": "one"})
    return found


_COMFYUI_NAMES = {"steps": ("steps",), "guidance": ("guidance", "cfg"), "seed": ("noise_seed", "seed")}


def _kind(node: Json) -> str:
    return str(node.get("class_type", "")) if isinstance(node, dict) and isinstance(node.get("inputs"), dict) else ""


def _links(node: Json) -> dict[str, str]:
    """Ids of the nodes that this one's inputs come from."""
    links = node["inputs"].items()
    return {name: str(value[0]) for name, value in links if isinstance(value, list) and len(value) == 2}


def _upstream(nodes: Json, start: Json) -> Iterator[Json]:
    """The node and all that it depends on, the nearest first."""
    waiting, seen = deque([start]), {id(start)}
    while waiting:
        node = waiting.popleft()
        yield node
        for name in _links(node).values():
            before = nodes.get(name)
            if before is not None and _kind(before) and id(before) not in seen:
                seen.add(id(before))
                waiting.append(before)


def _prompt_of(nodes: Json, upstream: list[Json], names: tuple[str, ...]) -> str | None:
    """The text that reaches an input of one of these names."""
    for name in names:
        for node in upstream:
            start = nodes.get(_links(node).get(name, ""))
            if start is not None and _kind(start):
                return next(
                    (
                        text
                        for text in _values(_upstream(nodes, start), ("text", "value", "string", "prompt"))
                        if isinstance(text, str)
                    ),
                    None,
                )
    return None


def _values(nodes: Any, names: tuple[str, ...]) -> Iterator[Any]:
    """What the nodes' own inputs of these names hold, links left aside."""
    for node in nodes:
        for name in names:
            value = node["inputs"].get(name)
            if isinstance(value, str | int | float) and not isinstance(value, bool):
                yield value


_READERS: dict[str, Callable[[str], FoundSettings]] = {
    CHUNK: _read_ours,
    EXIF_COMMENT: _read_mflux,
    "prompt": _read_comfyui,
    "parameters": _read_parameters,
}
"""By the text chunk that each program writes; the first that says something is believed."""


# --- taking over ------------------------------------------------------------------------------------------------------


def _take(found: FoundSettings, name: str, value: Any) -> None:
    """Take a value over if a request may have it; else name it."""
    if value is None or (name == "seed" and isinstance(value, int) and value < 0):
        return
    if name == "steps" and isinstance(value, float) and value.is_integer():
        value = int(value)
    if name == "seed" and isinstance(value, int) and value > MAX_SEED:
        found.left_out.append(f"seed {value} (above {MAX_SEED})")
        return
    try:
        GenerationRequest.from_dict({"prompt": "-", name: value}).validated()
    except RequestError:
        _leave_out(found, {name: value})
    else:
        found.values[name] = value


def _take_size(found: FoundSettings, width: Any, height: Any) -> None:
    """Sizes are rounded to what the model can do."""
    if not (isinstance(width, int | float) and isinstance(height, int | float)):
        return
    # Bounded first: JSON and float() know infinity, and whole numbers that no float holds.
    within = [max(MIN_SIZE, min(MAX_SIZE, side)) for side in (width, height)]
    sides = [round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE for side in within]
    found.values["width"], found.values["height"] = sides
    if sides != [width, height]:
        found.left_out.append(f"size {width}×{height} (now {sides[0]}×{sides[1]})")


def _take_model(found: FoundSettings, name: str) -> None:
    """A model of the catalog whose name is in theirs: `flux-2-klein-9b-fp8.safetensors` is klein-9b."""
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower())
    cards = [card.name for card in MODELS.values() if card.name in plain or card.repo.lower().endswith(plain or "-")]
    if cards:
        found.values["model"] = max(cards, key=len)
    elif name:
        found.left_out.append(f"model {name[:60]}")


def _leave_out(found: FoundSettings, values: dict[str, Any]) -> None:
    found.left_out += [f"{name} {str(value)[:40]}" for name, value in values.items()]


def _number(text: str) -> int | float | None:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None
