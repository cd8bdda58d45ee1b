"""What a user asks for: one picture, as plain data that travels over the socket and into the PNG."""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from flux2.architecture.limits import BITS, MAX_TEXT_TOKENS, TOKEN_PIXELS
from flux2.errors import RequestError
from flux2.wildcards import has_wildcards, resolve

QUANTIZATIONS = ("bf16", *BITS)
RESIDENCIES = ("resident", "streamed")
"""Places of the transformer: in memory as a whole, or its blocks read in every step while the one before computes."""
AUTO = "auto"
"""Word for the best quantization or residency that fits this machine (`flux2.planning.planner`)."""
SIZE_MULTIPLE = TOKEN_PIXELS
MIN_SIZE, MAX_SIZE = 64, 4096  # pixels per side
MAX_STEPS = 1000  # the scheduler's num_train_timesteps
MAX_SEED = 2**32 - 1
MAX_PROMPT = 10_000  # characters; the models read 512 tokens, some 2,200 characters of English


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One picture to make. `None` means the model's default (size, steps, guidance) or "choose one" (seed, output)."""

    prompt: str
    prompt_template: str | None = None
    """The prompt as typed, where it has wildcards (`flux2.wildcards`); `prompt` is what the seed has made of it."""
    negative_prompt: str | None = None
    model: str = "pocket"
    """A catalog name, a Hub repository id, or a folder."""
    quantization: str = "bf16"
    """One of QUANTIZATIONS, or AUTO."""
    residency: str = "resident"
    """One of RESIDENCIES, or AUTO."""
    keep_text_encoder: bool = False
    """Keep the text encoder in memory between prompts, for machines with room; else it is streamed."""
    vae: str | None = None
    """A folder or Hub repository with another autoencoder, such as FLUX.2's small decoder."""
    force: bool = False
    """Carry it out although the plan says that it does not fit this machine."""
    width: int | None = None
    """Pixels."""
    height: int | None = None
    """Pixels."""
    steps: int | None = None
    guidance: float | None = None
    seed: int | None = None
    max_sequence_length: int | None = None
    """Tokens of the prompt that are read; None is what the model was trained with."""
    output: str | None = None
    """Path of the PNG; the worker and the command line choose one where it is None. Never overwritten silently."""

    def validated(self) -> GenerationRequest:
        """Itself, if it can be carried out by some model.

        Raises:
            RequestError: one sentence naming the value and what would do instead.
        """
        for check in _CHECKS:
            if complaint := check(self):
                raise RequestError(complaint)
        return self

    def with_seed(self) -> GenerationRequest:
        """Itself with a random seed where it has none."""
        return self if self.seed is not None else replace(self, seed=secrets.randbelow(MAX_SEED + 1))

    def resolved(self) -> GenerationRequest:
        """Itself with a seed, and with the wildcards of its prompt as this seed has them."""
        seeded, template = self.with_seed(), self.prompt_template or self.prompt
        if seeded.seed is None or not has_wildcards(template):
            return seeded
        return replace(seeded, prompt=resolve(template, seeded.seed), prompt_template=template)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> GenerationRequest:
        """Read one from JSON; null is a field's default, and fields that this version does not know are ignored.

        Raises:
            RequestError: if a value has the wrong type.
        """
        if not isinstance(data.get("prompt"), str):
            raise RequestError(f"The request has no prompt: {data!r:.200}; send one with a text in `prompt`.")
        known = {field.name: data[field.name] for field in fields(cls) if data.get(field.name) is not None}
        for name, value in known.items():
            if not isinstance(value, _TYPES[name]) or isinstance(value, bool) != (_TYPES[name] == (bool,)):
                raise RequestError(
                    f"The request's {name} is {value!r:.80}, which is not a {_TYPES[name][-1].__name__}."
                )
        return cls(**known)


_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("prompt", "prompt_template", "negative_prompt", "model", "quantization"), (str,)),
    **dict.fromkeys(("residency", "vae", "output"), (str,)),
    **dict.fromkeys(("keep_text_encoder", "force"), (bool,)),
    **dict.fromkeys(("width", "height", "steps", "seed", "max_sequence_length"), (int,)),
    "guidance": (int, float),
}


def unknown_quantization(name: str) -> str:
    """The sentence for a level that there is not."""
    return f"Quantization {name!r} is unknown; choose one of {', '.join(QUANTIZATIONS)}."


def _check_prompt(request: GenerationRequest) -> str | None:
    if not request.prompt.strip():
        return "The prompt is empty; say what the picture should show."
    longest = max(len(text or "") for text in (request.prompt, request.prompt_template, request.negative_prompt))
    if longest > MAX_PROMPT:
        return (
            f"The prompt has {longest:,} characters; {MAX_PROMPT:,} are the most, and of these {MAX_TEXT_TOKENS} "
            "tokens are read."
        )
    if re.search("[\ud800-\udfff]", request.prompt + (request.negative_prompt or "")):
        return "The prompt holds bytes that are no UTF-8; set the terminal's locale to UTF-8, such as LC_ALL=C.UTF-8."
    return None


def _check_quantization(request: GenerationRequest) -> str | None:
    return None if request.quantization in (*QUANTIZATIONS, AUTO) else unknown_quantization(request.quantization)


def _check_residency(request: GenerationRequest) -> str | None:
    if request.residency in (*RESIDENCIES, AUTO):
        return None
    return f"Residency {request.residency!r} is unknown; choose one of {', '.join((*RESIDENCIES, AUTO))}."


def _check_size(request: GenerationRequest) -> str | None:
    for name, value in (("width", request.width), ("height", request.height)):
        if value is None:
            continue
        if not MIN_SIZE <= value <= MAX_SIZE:
            return f"The {name} {value} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels."
        if value % SIZE_MULTIPLE:
            lower = max(MIN_SIZE, value // SIZE_MULTIPLE * SIZE_MULTIPLE)
            return (
                f"The {name} {value} is not a multiple of {SIZE_MULTIPLE}; choose {lower} or {lower + SIZE_MULTIPLE}."
            )
    return None


def _check_steps(request: GenerationRequest) -> str | None:
    if request.steps is None or 1 <= request.steps <= MAX_STEPS:
        return None
    return f"{request.steps} steps are out of range; choose 1 to {MAX_STEPS}."


def _check_guidance(request: GenerationRequest) -> str | None:
    if request.guidance is None or 0.0 <= request.guidance <= 100.0:
        return None
    return f"Guidance {request.guidance} is out of range; choose 0 to 100."


def _check_seed(request: GenerationRequest) -> str | None:
    if request.seed is None or 0 <= request.seed <= MAX_SEED:
        return None
    return f"Seed {request.seed} is out of range; choose 0 to {MAX_SEED}."


def _check_length(request: GenerationRequest) -> str | None:
    length = request.max_sequence_length
    if length is None or 1 <= length <= MAX_TEXT_TOKENS:
        return None
    return f"max_sequence_length {length} is out of range; choose 1 to {MAX_TEXT_TOKENS}."


_CHECKS = (
    _check_prompt,
    _check_quantization,
    _check_residency,
    _check_size,
    _check_steps,
    _check_guidance,
    _check_seed,
    _check_length,
)
