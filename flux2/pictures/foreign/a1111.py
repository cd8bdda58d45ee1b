"""AUTOMATIC1111's form, which many programs write: prompt, `Negative prompt:`, and a line of `Name: value` pairs.

What differs between the programs: the pairs may be parted by commas or bars, go over several lines, be followed by
other lines (Dynamic Prompts' templates), and hold JSON. A line is known by its form and never by its place.

Everything here goes over the text once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from flux2.pictures.foreign.candidate import Candidate
from flux2.pictures.foreign.found import NO_COUNTERPART, NO_PICTURES, NO_SUCH_LORA, OWN_SAMPLER, FoundSettings, number

_DRAW_THINGS = "Draw Things"
_PROGRAMS = (
    ("app", "SD.Next", "SD.Next"),
    ("version", "flux2-tui", "flux2-tui"),
    ("version", "Fooocus", "Fooocus"),
    ("version", "ComfyUI", "ComfyUI"),
    ("version", "stable-diffusion.cpp", "stable-diffusion.cpp"),
    ("version", "f", "Forge"),  # f2.0.1v1.10.1
    ("version", "neo", "Forge"),
    ("civitai resources", "", "Civitai"),
    ("seed mode", "", _DRAW_THINGS),
)
"""Name in lower case, the beginning of its value, and whose text it is then."""
_STEPS, _SIZE, _SEED = ("steps",), ("size",), ("seed",)
_VARIATION, _VARIATION_STRENGTH = ("variation seed",), ("variation seed strength",)
_CFG = ("cfg scale", "guidance scale", "cfg")
_EMBEDDED = ("distilled cfg scale", "guidance", "flux guidance")
_MODEL = ("model", "base model", "model name")
_KNOWN = {*_STEPS, *_SIZE, *_SEED, *_CFG, *_EMBEDDED, *_MODEL, "sampler", "negative prompt"}
_REASONS = {
    **dict.fromkeys(("sampler", "scheduler", "schedule type", "sampling method", "shift", "eta"), OWN_SAMPLER),
    **dict.fromkeys(("denoising strength", "strength", "mask blur", "inpaint area", "init image hash"), NO_PICTURES),
    **dict.fromkeys(("template", "negative template"), "the prompt is what was drawn from it"),
    **dict.fromkeys(("lora", "lora hashes", "addnet enabled"), NO_SUCH_LORA),
}
_SILENT = {
    *("version", "app", "model hash", "base model hash", "vae hash", "created date", "civitai metadata", "hashes"),
    *("lora hashes", "civitai resources", "quantization", "parser", "backend", "pipeline", "operations", "user"),
    *("raw prompt", "raw negative prompt", "metadata scheme", "cfg rescale", "rng", "seed mode"),
}
_LORA_TYPES = ("lora", "lycoris", "locon", "dora")
_MAX_NAME = 60
_NEGATIVE = "Negative prompt:"


def read_a1111(candidate: Candidate) -> FoundSettings | None:
    """Settings of a text in this form; None where no line of pairs or negative prompt shows it to be one."""
    if candidate.data:
        return None
    prompt, negative, pairs = _parts(_lines(candidate.text))
    settings = {name.lower(): value for name, value in pairs.items()}
    if not _KNOWN.intersection(settings) and negative is None:
        return None
    found = FoundSettings(_program(settings))
    if found.program == _DRAW_THINGS and negative is None:  # whose negative prompt is a line that begins with a dash
        prompt, _, negative = f"\n{prompt}".partition("\n-")
    found.take_prompts(prompt, negative)
    _take_resources(found, settings)
    found.take("steps", _popped(settings, _STEPS))
    found.take("seed", _popped(settings, _SEED))
    found.take("variation_seed", _popped(settings, _VARIATION))
    found.take("variation_strength", _popped(settings, _VARIATION_STRENGTH))
    found.take_size_text(_popped(settings, _SIZE))
    found.take_model(_popped(settings, _MODEL))
    found.take_guidance(_popped(settings, _CFG), _popped(settings, _EMBEDDED))
    if found.program == "flux2-tui":
        found.take("quantization", settings.get("quantization"))
    as_written = {name.lower(): name for name in pairs}
    found.leave_out_rest({as_written[name]: settings[name] for name in settings}, _REASONS, _SILENT)
    return found


def _program(settings: dict[str, str]) -> str:
    for name, beginning, program in _PROGRAMS:
        if name in settings and settings[name].startswith(beginning):
            return program
    return "AUTOMATIC1111"


def _popped(settings: dict[str, str], names: tuple[str, ...]) -> str | None:
    """The first of these settings; they are none of the rest any more."""
    values = [settings.pop(name) for name in names if name in settings]
    return values[0] if values else None


# --- lines ------------------------------------------------------------------------------------------------------------


def _lines(text: str) -> list[str]:
    """The lines of the text; of one that came on a single line, or whose negative prompt is empty, made anew."""
    lines = text.replace("\r\n", "\n").strip().split("\n")
    last = next((place for place in range(len(lines) - 1, -1, -1) if "Steps: " in lines[place]), None)
    if last is None or any(map(_is_settings, lines)):
        return lines
    words, _, settings = lines[last].rpartition("Steps: ")
    if not _is_settings(settings := f"Steps: {settings}"):
        return lines
    before, negative, after = words.partition(_NEGATIVE)
    return [
        *lines[:last],
        *filter(None, (before.strip(), negative and f"{negative}{after}".strip())),
        settings,
        *lines[last + 1 :],
    ]


def _parts(lines: list[str]) -> tuple[str, str | None, dict[str, str]]:
    """Prompt, negative prompt (None where there is none), and the pairs of all lines that have some."""
    first, last = _settings_lines(lines)
    pairs: dict[str, str] = {}
    for line in lines[first:last]:
        pairs.update(_pairs(line))
    behind: dict[str, list[str]] = {}
    name = "lines behind the settings"
    for line in lines[last:]:  # each is one setting, whatever stands in it; templates go over several lines
        if line.lstrip().startswith(","):  # a value with the end of a line in it was the last
            pairs.update(_pairs(line.lstrip(" ,")))
            continue
        before, colon, value = line.partition(":")
        if colon and _is_name(before):
            name, line = before.strip(), value.strip()
        behind.setdefault(name, []).append(line)
    for name, texts in behind.items():
        pairs.setdefault(name, "\n".join(texts))
    words = lines[:first]
    start = next(
        (place for place, line in enumerate(words) if line[: len(_NEGATIVE)].lower() == _NEGATIVE.lower()), None
    )
    if start is None:
        return "\n".join(words), None, pairs
    return "\n".join(words[:start]), "\n".join(words[start:])[len(_NEGATIVE) :], pairs


def _settings_lines(lines: list[str]) -> tuple[int, int]:
    """The first of the lines of pairs and the one after the last; both are the end where there are none."""
    head = next((place for place in range(len(lines) - 1, -1, -1) if _is_settings(lines[place])), None)
    if head is None:
        return len(lines), len(lines)
    last = head + 1
    while last < len(lines) and lines[last].partition(":")[0].strip().lower() in _KNOWN:
        last += 1
    return head, last


def _is_settings(line: str) -> bool:
    """Whether a line is one of pairs: it begins with `Steps: 4`, or has two names that all use, one with a number."""
    name, colon, value = line.partition(":")
    name = name.strip().lower()
    if not colon or name.endswith("negative prompt") or "," in name or not _is_name(name):
        return False
    if name == "steps" and value.strip()[:1].isdecimal():
        return True
    known = {name.lower(): value for name, value in _pairs(line) if name.lower() in _KNOWN}
    return len(known) > 1 and any(known.get(name, "")[:1].isdecimal() for name in (*_STEPS, *_SEED, *_SIZE, *_CFG))


def _is_name(text: str) -> bool:
    text = text.strip()
    return 0 < len(text) <= _MAX_NAME and text[0].isalnum() and not any(sign in text for sign in "<>(){}[]\"'")


def _pairs(line: str) -> Iterator[tuple[str, str]]:
    """Names and values; a value may be in quotes, or JSON. A part without a name belongs to the value before it."""
    name, value = "", ""
    for part in _split(line, "|" if line.count("|") > line.count(",") else ","):
        before, colon, after = part.partition(":")
        if colon and _is_name(before):
            if name:
                yield name, _unquoted(value)
            name, value = before.strip(), after.strip()
        elif name:
            value += f",{part}"
    if name:
        yield name, _unquoted(value)


def _split(line: str, separator: str) -> Iterator[str]:
    """The parts of a line; separators within quotes or JSON part nothing, unless these are never closed."""
    start, depth, quoted, escaped, fresh = 0, 0, False, False, False
    closed = _closing(line)
    for place, sign in enumerate(line):
        if quoted:
            quoted = escaped or sign != '"'
            escaped = sign == "\\" and not escaped
        elif sign == '"' and (fresh or depth) and closed[0] > place:
            quoted = True
        elif sign in "[{" and (fresh or depth) and closed[1] > place:
            depth += 1
        elif sign in "]}" and depth:
            depth -= 1
        elif sign == separator and not depth:
            yield line[start:place]
            start = place + 1
        fresh = sign == ":" or (fresh and sign == " ")
    yield line[start:]


def _closing(line: str) -> tuple[int, int]:
    """The last places at which quotes and brackets can be closed."""
    return line.rfind('"'), max(line.rfind("]"), line.rfind("}"))


def _unquoted(value: str) -> str:
    value = value.strip()
    if len(value) > 1 and value[0] == value[-1] == '"':
        try:
            return str(json.loads(value, strict=False))
        except ValueError:
            return value[1:-1]
    return value


# --- resources --------------------------------------------------------------------------------------------------------


def _take_resources(found: FoundSettings, settings: dict[str, str]) -> None:
    """LoRAs and the model out of lists of what was used: hashes by name, Civitai's and newer ones in JSON."""
    for pair in settings.get("lora hashes", "").split(","):
        if name := pair.partition(":")[0].strip():
            _take_lora_once(found, name)
    hashes, resources = (_json(settings.get(name, "")) for name in ("hashes", "civitai resources"))
    for name in hashes if isinstance(hashes, dict) else ():
        if str(name).lower().startswith("lora:"):
            _take_lora_once(found, str(name)[5:])
    for one in resources if isinstance(resources, list) else ():
        if not isinstance(one, dict):
            continue
        kind, address = str(one.get("type", "")).lower(), str(one.get("air", ""))
        name = one.get("modelName") or address or f"version {one.get('modelVersionId')}"
        if kind == "checkpoint":
            settings.setdefault("model", str(name))
        elif kind in _LORA_TYPES or ":lora:" in address:
            found.take_lora(name, number(one.get("weight")))
        else:
            found.leave_out(kind or "resource", name, NO_COUNTERPART)


def _take_lora_once(found: FoundSettings, name: str) -> None:
    """Take or name a LoRA unless a tag in the prompt did, with its weight."""
    if not found.names_lora(name):
        found.take_lora(name)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
