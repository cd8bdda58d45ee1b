"""What a picture says about how it was made: what is taken, what is left out and why, what was not understood."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flux2.architecture.model_names import catalog_name, read_name
from flux2.architecture.published import ARCHITECTURES
from flux2.errors import RequestError
from flux2.folders import lora_name, lora_named
from flux2.inputs.checks import MAX_SEED, MAX_SIZE, MIN_SIZE, SIZE_MULTIPLE
from flux2.inputs.loras import Lora
from flux2.inputs.wildcards import has_wildcards
from flux2.pictures.foreign.prompt_tags import without_tags
from flux2.request import GenerationRequest

NO_COUNTERPART = "there is no such setting here"
OWN_SAMPLER = "FLUX.2 is sampled with Euler steps on its own schedule here"
OWN_SAMPLERS = ("euler", "k_euler", "simple", "normal")
"""Names of what is done here, too, in lower case."""
NO_SUCH_LORA = "it is not in the folder for LoRAs"
NO_PICTURES = "the picture that it began with is not in the file"
_LARGEST = 10**40
"""Above any setting; JSON knows whole numbers that no float holds."""
_LONGEST = 60
"""Characters of a value that are told."""
_SIZE = re.compile(r"\D{0,3}(\d{1,6})\D{1,4}(\d{1,6})")
_UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
"""What a terminal obeys, and half characters out of JSON's escapes."""
_NUMBERS: dict[str, Callable[[Any], int | float]] = {
    **dict.fromkeys(("steps", "seed", "variation_seed"), lambda figure: figure),  # one that is not whole is refused
    **dict.fromkeys(("guidance", "variation_strength"), float),
}
"""What a request's numbers are made of where they are written as texts."""
_NAMES = {"negative_prompt": "negative prompt"}


@dataclass(frozen=True, slots=True)
class LeftOut:
    """One thing that the picture says and that is not taken over."""

    what: str
    """Name and value, in a few words."""
    why: str

    def __str__(self) -> str:
        return f"{self.what} ({self.why})"


@dataclass(slots=True)
class FoundSettings:
    """What a picture says about how it was made."""

    program: str
    """Program that wrote the picture."""
    values: dict[str, Any] = field(default_factory=dict)
    """Valid values by the names of `GenerationRequest`'s fields."""
    left_out: list[LeftOut] = field(default_factory=list)
    """What was understood and could not be taken over."""
    not_understood: list[str] = field(default_factory=list)
    """Texts that nobody here can read, and what is damaged, in a few words each."""

    def take(self, name: str, value: Any) -> None:
        """Take a value over if a request may have it; else name it. Numbers may be written as texts."""
        if value is None or value == "":
            return
        if name == "seed" and number(value) == -1:
            self.leave_out("seed", value, "it says any, not which")
            return
        if name == "seed" and (number(value) or 0) > MAX_SEED:
            self.leave_out("seed", value, f"above {MAX_SEED}")
            return
        if name in _NUMBERS:
            figure = number(value)
            if figure is None:
                self.leave_out(_NAMES.get(name, name), value, "it is no number")
                return
            value = _NUMBERS[name](figure)
        elif isinstance(value, str):
            value = _UNSAFE.sub("", value.replace("\r\n", "\n"))
        try:
            GenerationRequest.from_dict({"prompt": "-", name: value}).check_field(name)
        except RequestError as error:
            self.leave_out(_NAMES.get(name, name), value, _clause(error))
        else:
            self.values[name] = value

    def take_prompts(self, prompt: Any, negative: Any = None) -> None:
        """Take both texts over; a picture without a prompt is said to be one."""
        self.take_text("prompt", prompt)
        self.take_text("negative_prompt", negative)
        if "prompt" not in self.values and not any(item.what.startswith("prompt") for item in self.left_out):
            self.leave_out("prompt", "", "the picture has none")

    def take_text(self, name: str, text: Any) -> None:
        """Take a prompt over without the tags in it that are no words but commands; these are named."""
        if not isinstance(text, str) or not text.strip():
            return
        plain, loras, others = without_tags(text)
        self.take(name, plain or None)
        for lora, weight in loras:
            self.take_lora(lora, weight)
        for tag in others:
            self.leave_out(tag, "", "it is a command of the other program's, not words")
        if has_wildcards(plain):
            self.leave_out(f"braces in the {_NAMES.get(name, name)}", "", "of {one|two} the seed draws one here")

    def take_size(self, width: Any, height: Any) -> None:
        """Take a size over, in pixels, rounded to what the models can do; what is rounded is named."""
        sides = number(width), number(height)
        if width in (None, "") and height in (None, ""):
            return
        if sides[0] is None or sides[1] is None:
            self.leave_out("size", f"{width}×{height}", "it is no size")
            return
        within = [max(MIN_SIZE, min(MAX_SIZE, side)) for side in sides if side is not None]
        rounded = [round(side / SIZE_MULTIPLE) * SIZE_MULTIPLE for side in within]
        self.values["width"], self.values["height"] = rounded
        if rounded != list(sides):
            self.leave_out("size", f"{width}×{height}", f"now {rounded[0]}×{rounded[1]}")

    def take_size_text(self, text: Any) -> None:
        """Take a size over that is written as one text, such as `768x512` or `(768, 512)`."""
        if isinstance(text, list | tuple) and len(text) == 2:
            self.take_size(*text)
        elif found := _SIZE.match(str(text or "")):
            self.take_size(found[1], found[2])
        elif text:
            self.leave_out("size", text, "it is no size")

    def take_model(self, name: Any) -> None:
        """Take the model over if it is one that there is here; else name it."""
        if isinstance(name, dict):  # InvokeAI's, and others' with more about it
            name = next((name[key] for key in ("name", "model_name", "key") if isinstance(name.get(key), str)), None)
        if not isinstance(name, str) or not name.strip():
            return
        named = read_name(name)
        card = catalog_name(name) if self.program == "flux2-tui" else named.card
        if card:
            self.values["model"] = card
        elif named.base:
            self.leave_out("model", name, f"it is made of {named.base}, but is not it")
        else:
            self.leave_out("model", name, f"{named.family or 'it'} is none of `flux2 models`")

    def take_guidance(self, cfg: Any, embedded: Any = None, *, cfg_may_be_embedded: bool = True) -> None:
        """Take over the guidance that the model has; to be called when the model is known.

        Args:
            cfg: classifier-free guidance, a second pass with the negative prompt; 1 is none.
            embedded: guidance as an input of the network's, such as FLUX.2 Dev has.
            cfg_may_be_embedded: whether the program calls either one by the first name.
        """
        model = ARCHITECTURES.get(str(self.values.get("model")))
        has_embedded = model is not None and bool(model.transformer["guidance_embeds"])
        classifier_free = model is not None and not has_embedded and not model.index.get("is_distilled")
        second_pass = number(cfg) not in (None, 1)
        if embedded is not None and not classifier_free and not (second_pass and not has_embedded and model):
            self.take("guidance", embedded)
            if second_pass:
                self.leave_out("CFG", cfg, "the guidance that the model takes itself counts here")
        elif has_embedded and not cfg_may_be_embedded:
            if second_pass:
                self.leave_out("CFG", cfg, "the model takes its guidance itself, in one pass")
        else:
            self.take("guidance", cfg)
            if embedded is not None:
                self.leave_out("guidance", embedded, "the model takes none itself, it has CFG")

    def take_lora(self, name: Any, weight: Any = None) -> None:
        """Take a LoRA over that is in the folder for LoRAs under this name; else name it."""
        scale = number(weight)
        said = str(name) if scale in (None, 1) else f"{name} at {weight}"
        file = lora_named(str(name))
        if file is None:
            if not any(item.what == f"LoRA {said}" for item in self.left_out):
                self.leave_out("LoRA", said, NO_SUCH_LORA)
            return
        lora = Lora(lora_name(file), scale=1.0 if scale is None else float(scale))
        taken = self.values.get("loras", ())
        if any(other.name == lora.name for other in taken):
            return
        if complaint := lora.complaint():
            self.leave_out("LoRA", said, complaint)
        else:
            self.values["loras"] = (*taken, lora)

    def names_lora(self, name: str) -> bool:
        """Whether a LoRA of this name was met before, with whatever weight."""
        left_out = any(
            item.what == f"LoRA {name}" or item.what.startswith(f"LoRA {name} at ") for item in self.left_out
        )
        file = lora_named(name)
        return left_out or (file is not None and any(lora_name(file) == o.name for o in self.values.get("loras", ())))

    def leave_out(self, name: str, value: Any, why: str) -> None:
        """Name something that is not taken over."""
        told = " ".join(str(value).split())
        told = told if len(told) <= _LONGEST else f"{told[:_LONGEST]}…"
        self.left_out.append(LeftOut(f"{name} {told}".strip()[: 2 * _LONGEST], why))

    def leave_out_rest(self, values: Mapping[str, Any], reasons: Mapping[str, str], silent: Iterable[str]) -> None:
        """Name whatever is left of a program's settings.

        Args:
            reasons: why, by the name in lower case, where it is not `NO_COUNTERPART`.
            silent: names in lower case of what is no setting, but a date, a version, or told by another name, too.
        """
        for name, value in values.items():
            plain = str(name).lower()
            if plain in silent or _says_nothing(value):
                continue
            why = reasons.get(plain, NO_COUNTERPART)
            if why != OWN_SAMPLER or str(value).lower() not in OWN_SAMPLERS:
                self.leave_out(str(name), value, why)


def number(value: Any) -> int | float | None:
    """A finite number that is given as one or as a text; whole ones as int; None for anything else."""
    if isinstance(value, str) and len(value) <= 40:
        try:
            value = float(value) if not value.strip().lstrip("+-").isdecimal() else int(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if not -_LARGEST < value < _LARGEST:  # false of NaN, too
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _says_nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return not any(value.values())
    return value in (None, "", False, [], "None", "none")


def _clause(error: RequestError) -> str:
    """The error's sentence, as a part of another one."""
    text = str(error).rstrip(".")
    return text[:1].lower() + text[1:200]
