"""What the user has chosen for the next picture, remembered between starts."""

from __future__ import annotations

import json
from dataclasses import Field, dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from flux2.architecture.catalog import ModelCard, find_card
from flux2.architecture.levels import LEVELS
from flux2.dataclass_json import read_dataclass, read_value
from flux2.disk.atomic import put_aside, write_atomically
from flux2.disk.private import make_private, read_own
from flux2.inputs.checks import AUTO, MAX_SEED, MIN_SIZE
from flux2.planning.output_size import output_size
from flux2.request import GenerationRequest
from flux2.request_fields import about, recipe, said_of
from flux2.settings import Settings

SEED_MODE_LINES = {
    "random": "a new one for every picture",
    "locked": "the same for every picture",
    "+1": "one more after every picture",
}
SEED_MODES = tuple(SEED_MODE_LINES)

QUANTIZATION_LINES = {level.name: level.about for level in LEVELS.values()} | {AUTO: "The best of these that fits."}

_WHOSE = ("model", "base")
"""Fields that say which model it is, rather than what is another's in it."""
RESIDENCY_LINES = {
    "resident": "held in memory",
    "streamed": "read from the disk in every step: little memory, at the disk's speed",
    AUTO: "held in memory where it fits, else read in every step",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices(GenerationRequest):
    """The request of the next picture as it stands on the screen, with the rule for its seed.

    `prompt` is as typed, wildcards and all; `seed` is the next picture's, unless `seed_mode` is random.
    """

    prompt: str = about("", kind="prompt")
    seed_mode: str = about("random", choices=SEED_MODES)

    @property
    def card(self) -> ModelCard | None:
        return find_card(self.base or self.model)

    @property
    def parts_of_others(self) -> dict[str, str]:
        """The parts that are taken from elsewhere in place of the model's own, by what they are called."""
        places = [field for field in fields(self) if said_of(field).kind == "model" and field.name not in _WHOSE]
        return {said_of(field).line: value for field in places if (value := getattr(self, field.name))}

    @property
    def size(self) -> tuple[int | None, int | None]:
        if self.width and self.height:
            return self.width, self.height
        first = self.source or next(iter(self.references), None)
        if first and first.width and first.height:
            return output_size(self, self.card, self.card.size if self.card else (MIN_SIZE, MIN_SIZE))
        return self.card.size if self.card else (None, None)

    @property
    def step_count(self) -> int | None:
        return self.steps if self.steps is not None else self.card.steps if self.card else None

    @property
    def guidance_scale(self) -> float | None:
        return self.guidance if self.guidance is not None else self.card.guidance if self.card else None

    def with_model(self, model: str, base: str | None = None) -> Choices:
        """Another model, with its own defaults for all that depends on it; a size it also knows is kept.

        Args:
            base: what a single file is of.
        """
        from flux2.store.local import resolve_name

        model = resolve_name(model)
        card = find_card(base or model)
        changes: dict[str, Any] = {field.name: field.default for field in fields(self) if said_of(field).by_model}
        if card is not None and (self.width, self.height) in card.sizes:
            changes |= {"width": self.width, "height": self.height}
        return replace(self, **changes | {"model": model, "base": base})

    def next_quantization(self, by: int) -> Choices:
        return replace(self, quantization=_next(tuple(QUANTIZATION_LINES), self.quantization, by))

    def next_residency(self) -> Choices:
        return replace(self, residency=_next(tuple(RESIDENCY_LINES), self.residency, 1))

    @property
    def level(self) -> str:
        """Quantization and residency in a word or two: `int4`, `int4 streamed`."""
        return self.quantization if self.residency == "resident" else f"{self.quantization} {self.residency}"

    def next_seed_mode(self, by: int, last_seed: int | None) -> Choices:
        """The next mode; leaving random keeps the last picture's seed, which is what one wants to hold on to.

        Where seeds are counted the last picture's is not drawn again.
        """
        mode = SEED_MODES[(SEED_MODES.index(self.seed_mode) + by) % len(SEED_MODES)]
        seed = last_seed if self.seed_mode == "random" and last_seed is not None else self.seed
        if mode == "+1" and seed is not None and seed == last_seed:
            seed = (seed + 1) % (MAX_SEED + 1)
        return replace(self, seed_mode=mode, seed=seed)

    def with_settings(self, settings: Settings) -> Choices:
        """What somebody begins with whose settings these are."""
        chosen = replace(self, quantization=settings.quantization, residency=settings.residency)
        return chosen.with_model(settings.model) if settings.model else chosen

    def request(self) -> GenerationRequest:
        """What these choices ask for.

        Raises:
            RequestError: if no model could carry it out.
        """
        asked = {field.name: getattr(self, field.name) for field in fields(GenerationRequest)}
        if self.seed_mode == "random":
            asked["seed"] = None
        return GenerationRequest(**asked).validated().resolved()

    def with_request(self, request: GenerationRequest) -> Choices:
        """All that another request asks for, its seed kept and its prompt as it was typed."""
        asked = {field.name: getattr(request, field.name) for field in fields(GenerationRequest)}
        asked |= {"prompt": request.prompt_template or request.prompt, "prompt_template": None}
        return replace(self, **asked, seed_mode="random" if request.seed is None else "locked")

    def after(self, request: GenerationRequest) -> Choices:
        """The choices for the picture after `request`: the seed moves on or stays as its mode says."""
        if self.seed_mode == "random" or request.seed is None:
            return self
        return replace(self, seed=(request.seed + (self.seed_mode == "+1")) % (MAX_SEED + 1))


def _next(values: tuple[str, ...], value: str, by: int) -> str:
    return values[(values.index(value) + by) % len(values)]


def load_choices(path: Path, first: Choices | None = None, notes: list[str] | None = None) -> Choices:
    """What was saved last, or `first` where nothing was; what no longer makes sense falls back to the default.

    Args:
        notes: gets a sentence where the file is damaged; it is put aside then.
    """
    first = first or Choices()
    try:
        data = json.loads(read_own(path))
    except OSError:
        return first
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        aside = put_aside(path)
        if notes is not None:
            notes.append(f"The last choices can't be read; their file is now {aside.name}.")
        return first
    known = {field.name: data[field.name] for field in fields(Choices) if _fits(field, data.get(field.name))}
    return read_dataclass(Choices, known)


def _fits(field: Field[Any], value: Any) -> bool:
    """Whether a value out of a file can be a field's; whether a model can do it is said when it is asked for."""
    said = said_of(field)
    if value is None or said.of_run or (said.choices and value not in said.choices):
        return False
    try:
        read_value(value, _HINTS[field.name], field.name)
    except ValueError:
        return False
    return True


_HINTS = get_type_hints(Choices)


def save_choices(path: Path, choices: Choices) -> None:
    """Write them whole or not at all.

    Raises:
        OSError: if the folder can't be written.
    """
    make_private(path.parent)
    content = json.dumps(recipe(choices).to_dict(), ensure_ascii=False, indent=1)
    # Half of a surrogate pair as JSON writes it. Not durable, for nobody shall wait for the disk between two keys.
    write_atomically(path, content.encode("utf-8", "backslashreplace"), durable=False)
