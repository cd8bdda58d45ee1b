"""What a user asks for: one picture, as plain data that travels over the socket and into the PNG."""

from __future__ import annotations

import re
import secrets
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from typing import Any, Self

from flux2.architecture.catalog import MODELS, find_card
from flux2.architecture.limits import BITS, MAX_TEXT_TOKENS, TOKEN_PIXELS
from flux2.architecture.strength import as_run
from flux2.dataclass_json import read_dataclass
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment, check_attachment
from flux2.inputs.loras import Lora, check_loras, what_loras_do
from flux2.inputs.source import source_complaint
from flux2.request_fields import Option, about, said_of
from flux2.wildcards import has_wildcards, resolve

QUANTIZATIONS = ("bf16", *BITS)
RESIDENCIES = ("resident", "streamed")
"""Places of the transformer: in memory as a whole, or its blocks read in every step while the one before computes."""
AUTO = "auto"
"""Word for the best quantization or residency that fits this machine (`flux2.planning.planner`)."""
NOISES = ("torch", "mlx")
"""Generators of a seed's noise: PyTorch's on the CPU, which diffusers and ComfyUI use, and MLX's."""
SIZE_MULTIPLE = TOKEN_PIXELS
MIN_SIZE, MAX_SIZE = 64, 4096  # pixels per side
MAX_STEPS = 1000  # the scheduler's num_train_timesteps
MAX_SEED = 2**32 - 1
MAX_REFERENCES = 10
PICTURES_IN = "pictures that are handed in"
"""Heading of the options that are about them."""
MAX_PROMPT = 10_000  # characters; the models read 512 tokens, some 2,200 characters of English


def unknown_quantization(name: str) -> str:
    """The sentence for a level that there is not."""
    return f"Quantization {name!r} is unknown; choose one of {', '.join(QUANTIZATIONS)}."


def _check_text(_: str, text: str) -> str | None:
    if len(text) > MAX_PROMPT:
        return (
            f"The prompt has {len(text):,} characters; {MAX_PROMPT:,} are the most, and of these {MAX_TEXT_TOKENS} "
            "tokens are read."
        )
    if re.search("[\ud800-\udfff]", text):
        return "The prompt holds bytes that are no UTF-8; set the terminal's locale to UTF-8, such as LC_ALL=C.UTF-8."
    return None


def _check_prompt(name: str, prompt: str) -> str | None:
    return _check_text(name, prompt) if prompt.strip() else "The prompt is empty; say what the picture should show."


def _check_quantization(_: str, name: str) -> str | None:
    return None if name in (*QUANTIZATIONS, AUTO) else unknown_quantization(name)


def _check_residency(_: str, name: str) -> str | None:
    if name in (*RESIDENCIES, AUTO):
        return None
    return f"Residency {name!r} is unknown; choose one of {', '.join((*RESIDENCIES, AUTO))}."


def _check_side(name: str, side: int) -> str | None:
    if not MIN_SIZE <= side <= MAX_SIZE:
        return f"The {name} {side} is out of range; choose {MIN_SIZE} to {MAX_SIZE} pixels."
    if side % SIZE_MULTIPLE:
        lower = max(MIN_SIZE, side // SIZE_MULTIPLE * SIZE_MULTIPLE)
        return f"The {name} {side} is not a multiple of {SIZE_MULTIPLE}; choose {lower} or {lower + SIZE_MULTIPLE}."
    return None


def _check_steps(_: str, steps: int) -> str | None:
    return None if 1 <= steps <= MAX_STEPS else f"{steps} steps are out of range; choose 1 to {MAX_STEPS}."


def _check_guidance(_: str, guidance: float) -> str | None:
    return None if 0.0 <= guidance <= 100.0 else f"Guidance {guidance} is out of range; choose 0 to 100."


def _check_seed(_: str, seed: int) -> str | None:
    return None if 0 <= seed <= MAX_SEED else f"Seed {seed} is out of range; choose 0 to {MAX_SEED}."


def _check_noise(_: str, noise: str) -> str | None:
    return None if noise in NOISES else f"Noise {noise!r} is unknown; choose one of {', '.join(NOISES)}."


def _check_share(name: str, share: float) -> str | None:
    return None if 0.0 <= share <= 1.0 else f"The {name.replace('_', ' ')} {share} is out of range; choose 0 to 1."


def _check_length(name: str, length: int) -> str | None:
    return (
        None if 1 <= length <= MAX_TEXT_TOKENS else f"{name} {length} is out of range; choose 1 to {MAX_TEXT_TOKENS}."
    )


def _read_sigmas(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(number) for number in text.split(","))
    except ValueError:
        raise RequestError(f"The sigmas {text!r:.60} are no numbers; give some such as 1,0.75,0.5,0.25.") from None


def _check_sigmas(_: str, sigmas: tuple[float, ...]) -> str | None:
    falls = all(before > after for before, after in pairwise(sigmas))
    if 1 <= len(sigmas) <= MAX_STEPS and falls and sigmas[-1] > 0 and sigmas[0] <= 1:
        return None
    return "The sigmas have to fall, from 1 at most to above 0, such as 1,0.75,0.5,0.25."


def _check_pictures(name: str, pictures: tuple[Attachment, ...] | Attachment) -> str | None:
    if isinstance(pictures, Attachment):
        return check_attachment(name, pictures)
    if len(pictures) > MAX_REFERENCES:
        return f"There are {len(pictures)} {name}; {MAX_REFERENCES} are the most."
    return next((complaint for each in pictures if (complaint := check_attachment(name, each))), None)


def _check_strength(_: str, strength: float) -> str | None:
    return None if 0.0 < strength <= 1.0 else f"Strength {strength} is out of range; choose above 0, and up to 1."


def _check_outpaint(_: str, sides: tuple[int, ...]) -> str | None:
    if len(sides) == 4 and all(0 <= side <= MAX_SIZE for side in sides) and any(sides):
        return None
    return (
        f"Outpainting by {','.join(map(str, sides))} makes no sense; give the pixels to add at top, right, bottom and "
        f"left, such as 0,128,0,128."
    )


def _read_outpaint(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(side) for side in text.split(","))
    except ValueError:
        raise RequestError(
            f"The margins {text!r:.40} are no numbers; give pixels at top, right, bottom and left, such as 0,128,0,128."
        ) from None


def _check_area(_: str, pixels: int) -> str | None:
    if MIN_SIZE**2 <= pixels <= MAX_SIZE**2:
        return None
    return f"{pixels} pixels for a reference are out of range; choose {MIN_SIZE**2} to {MAX_SIZE**2}."


def _digests(pictures: tuple[Attachment, ...] | Attachment | None) -> Any:
    """What decides of pictures: what they hold, in their order."""
    if isinstance(pictures, tuple):
        return tuple(each.digest for each in pictures)
    return pictures and pictures.digest


def _names(items: tuple[Any, ...]) -> str:
    return ", ".join(map(str, items))


def _catalog_name(model: str) -> str:
    card = find_card(model)
    return card.name if card else model


_PIXELS = f"pixels, {MIN_SIZE} to {MAX_SIZE}, a multiple of {SIZE_MULTIPLE}"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One picture to make. `None` means the model's default (size, steps, guidance) or "choose one" (seed, output).

    What is to be known of a field stands in its declaration; `flux2.request_fields` says what follows from it.
    """

    prompt: str = about(
        planned=False,
        kind="prompt",
        check=_check_prompt,
        line="prompt",
        option=Option(
            names=("prompt",), metavar="PROMPT", help="what the picture shows; - reads it from standard input"
        ),
    )
    prompt_template: str | None = about(None, decides=False, check=_check_text)
    """The prompt as typed, where it has wildcards (`flux2.wildcards`); `prompt` is what the seed has made of it."""
    negative_prompt: str | None = about(
        None,
        planned=False,
        kind="text",
        check=_check_text,
        canonical=lambda text: text or "",
        line="negative",
        option=Option(
            names=("--negative-prompt",),
            metavar="TEXT",
            help="what to stay away from (models with guidance above 1)",
        ),
    )
    model: str = about(
        "pocket",
        kind="model",
        canonical=_catalog_name,
        row="model",
        line="model",
        option=Option(
            names=("--model",),
            metavar="MODEL",
            help=f"{', '.join(MODELS)}, a Hub repository, a checkpoint's folder, or a single file of weights",
        ),
    )
    """A catalog name, a Hub repository id, a folder, or a single file."""
    base: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="base",
        option=Option(
            names=("--base",),
            metavar="MODEL",
            help="the model that a single file is of, where its shapes do not tell: klein-4b or klein-base-4b",
        ),
    )
    """A catalog name, a Hub repository or a folder, whose other parts go with a single file of weights."""
    quantization: str = about(
        "bf16",
        choices=(*QUANTIZATIONS, AUTO),
        check=_check_quantization,
        row="quantization",
        line="model",
        option=Option(
            names=("--transformer-quant",),
            help="the transformer's weights; auto is the best that fits (default: bf16)",
        ),
    )
    """One of QUANTIZATIONS, or AUTO."""
    residency: str = about(
        "resident",
        decides=False,
        choices=(*RESIDENCIES, AUTO),
        check=_check_residency,
        row="quantization",
        option=Option(
            names=("--residency",),
            help="keep the transformer in memory, or read its blocks in every step (default: resident)",
        ),
    )
    """One of RESIDENCIES, or AUTO."""
    keep_text_encoder: bool = about(
        False,
        decides=False,
        of_run=True,
        option=Option(names=("--keep-text-encoder",), help="hold the whole text encoder instead of a layer at a time"),
    )
    """Keep the text encoder in memory between prompts, for machines with room; else it is streamed."""
    vae: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="vae",
        option=Option(
            names=("--vae",), metavar="FOLDER|FILE|REPO", help="another autoencoder, such as FLUX.2's small decoder"
        ),
    )
    """A folder, single file or Hub repository with another autoencoder, such as FLUX.2's small decoder."""
    text_encoder: str | None = about(
        None,
        by_model=True,
        kind="model",
        line="text encoder",
        option=Option(
            names=("--text-encoder",), metavar="FOLDER|FILE", help="another text encoder, of the model's own kind"
        ),
    )
    """A folder or single file with another text encoder; the tokenizer stays the model's."""
    force: bool = about(
        False,
        decides=False,
        of_run=True,
        planned=False,
        option=Option(names=("--force",), help="run although the plan says that it does not fit this machine"),
    )
    """Carry it out although the plan says that it does not fit this machine."""
    width: int | None = about(
        None,
        by_model=True,
        check=_check_side,
        row="size",
        line="size",
        option=Option(names=("--width",), metavar="W", help=_PIXELS),
    )
    """Pixels."""
    height: int | None = about(
        None,
        by_model=True,
        check=_check_side,
        row="size",
        line="size",
        joined="×",
        option=Option(names=("--height",), metavar="H", help=_PIXELS),
    )
    """Pixels."""
    steps: int | None = about(
        None,
        by_model=True,
        planned=False,
        check=_check_steps,
        row="steps",
        line="steps",
        option=Option(names=("--steps",), metavar="N", help=f"denoising steps, 1 to {MAX_STEPS}"),
    )
    guidance: float | None = about(
        None,
        by_model=True,
        check=_check_guidance,
        row="guidance",
        line="guidance",
        option=Option(
            names=("--guidance",), metavar="G", help="how strictly the prompt is followed; 1 is off for Klein"
        ),
    )
    seed: int | None = about(
        None,
        planned=False,
        check=_check_seed,
        row="seed",
        line="seed",
        option=Option(
            names=("--seed",),
            metavar="S",
            help=f"0 to {MAX_SEED}; the same seed draws the same picture (default: random)",
        ),
    )
    references: tuple[Attachment, ...] = about(
        (),
        kind="picture",
        check=_check_pictures,
        canonical=_digests,
        line="references",
        shown=_names,
        option=Option(
            names=("--image",),
            several=("--images", "--image-paths"),
            metavar="FILE",
            repeated=True,
            help='a picture to refer to, "image 1" in the prompt, and once more for the next; with --strength, --mask '
            "or --outpaint the first is changed itself",
            group=PICTURES_IN,
        ),
    )
    """Reference pictures, in the order in which a prompt calls them "image 1", "image 2" …"""
    source: Attachment | None = about(None, kind="picture", check=_check_pictures, canonical=_digests, line="source")
    """The picture that is changed itself: where image-to-image starts, what a mask repaints or outpainting extends."""
    mask: Attachment | None = about(
        None,
        kind="picture",
        check=_check_pictures,
        canonical=_digests,
        line="mask",
        option=Option(
            names=("--mask",),
            metavar="FILE|alpha",
            help="what of the first picture is painted anew: a picture, white where it is, or what is transparent in "
            "it",
            group=PICTURES_IN,
        ),
    )
    """What of the source is painted anew: white is, black is kept; of any size, it is mapped to the source's."""
    strength: float | None = about(
        None,
        check=_check_strength,
        line="strength",
        option=Option(
            names=("--strength",),
            metavar="S",
            help="how far the first picture is sent back into noise, above 0 and up to 1, which keeps nothing of it",
            group=PICTURES_IN,
        ),
    )
    """Share of the noise schedule that is gone through, as in diffusers; 1 keeps nothing of the source."""
    outpaint: tuple[int, ...] | None = about(
        None,
        check=_check_outpaint,
        line="outpaint",
        shown=lambda sides: ",".join(map(str, sides)),
        option=Option(
            names=("--outpaint",),
            metavar="TOP,RIGHT,BOTTOM,LEFT",
            help="pixels by which the first picture is extended",
            read=_read_outpaint,
            group=PICTURES_IN,
        ),
    )
    """Pixels that are added to the source at its top, right, bottom and left."""
    source_as_reference: bool | None = about(
        None,
        line="source",
        shown=lambda on: "also a reference" if on else "no reference",
        option=Option(
            names=("--source-as-reference",),
            help="let the picture that is changed be referred to as well (default: where it is extended)",
            group=PICTURES_IN,
        ),
    )
    """Whether the source is the first reference, too; None is yes for outpainting alone."""
    reference_pixels: int | None = about(
        None,
        check=_check_area,
        line="references",
        shown=lambda area: f"at most {area:,} pixels each",
        option=Option(
            names=("--reference-pixels",),
            metavar="N",
            help="shrink each picture that is referred to, where it has more pixels (default: 1048576, 1024×1024)",
            group=PICTURES_IN,
        ),
    )
    """Area that each reference is shrunk to where it has more, pixels; None is diffusers' 1024²."""
    noise: str = about(
        "torch",
        choices=NOISES,
        check=_check_noise,
        line="seed",
        shown=lambda noise: "" if noise == NOISES[0] else f"of {noise}'s noise",
        joined=" ",
        option=Option(
            names=("--noise",),
            help="whose noise a seed draws: torch is diffusers' and ComfyUI's, mlx that of earlier versions and mflux",
        ),
    )
    """Generator that the seed is for, one of NOISES."""
    variation_seed: int | None = about(
        None,
        check=_check_seed,
        line="variation",
        option=Option(
            names=("--variation-seed",), metavar="S", help="another seed, towards whose noise the seed's is turned"
        ),
    )
    variation_strength: float | None = about(
        None,
        check=_check_share,
        line="variation",
        joined=" × ",
        option=Option(
            names=("--variation-strength",),
            metavar="SHARE",
            help="how far: 0 is the seed's own noise, 1 the variation's",
        ),
    )
    """Share of the way on the arc between the two noises."""
    loras: tuple[Lora, ...] = about(
        (),
        kind="loras",
        check=check_loras,
        canonical=what_loras_do,
        line="loras",
        shown=_names,
        option=Option(
            names=("--lora",),
            metavar="FILE|REPO[:NAME][@SCALE]",
            help="a LoRA beside the weights, such as style.safetensors@0.8; may be given several times",
            read=Lora.parse,
            repeated=True,
        ),
    )
    """LoRAs, which add up."""
    sigmas: tuple[float, ...] | None = about(
        None,
        by_model=True,
        planned=False,
        check=_check_sigmas,
        line="sigmas",
        shown=_names,
        option=Option(
            names=("--sigmas",),
            metavar="S,S,…",
            help="noise levels of one's own in place of even ones, falling from 1; shifted as these are",
            read=_read_sigmas,
        ),
    )
    """Noise levels before the shift, one per step; None for even ones."""
    max_sequence_length: int | None = about(None, by_model=True, check=_check_length, line="tokens")
    """Tokens of the prompt that are read; None is what the model was trained with."""
    output: str | None = about(
        None,
        decides=False,
        of_run=True,
        planned=False,
        kind="path",
        option=Option(names=("--output", "-o"), metavar="PATH", help="the PNG, or a folder ending in / to name it in"),
    )
    """Path of the PNG; the worker and the command line choose one where it is None. Never overwritten silently."""

    def validated(self) -> Self:
        """Itself, if it can be carried out by some model.

        Raises:
            RequestError: one sentence naming the value and what would do instead.
        """
        for field in fields(self):
            self.check_field(field.name)
        if self.variation_seed is not None and self.variation_strength is None:
            raise RequestError(
                f"Variation seed {self.variation_seed} changes nothing without a strength; choose one from 0 to 1, "
                "such as 0.1 (--variation-strength)."
            )
        if self.sigmas and self.steps not in (None, as_run(len(self.sigmas), self.strength or 1.0)[0]):
            raise RequestError(f"There are {len(self.sigmas)} sigmas for {self.steps} steps; give one per step.")
        if complaint := self._source_complaint():
            raise RequestError(complaint)
        return self

    def check_field(self, name: str) -> None:
        """Raises RequestError if the value of this field makes no sense, whatever those of the others are."""
        value, said = getattr(self, name), said_of(self.__dataclass_fields__[name])
        if value is not None and (complaint := said.check(name, value)):
            raise RequestError(complaint)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """All pictures that were handed in with it."""
        values = (getattr(self, field.name) for field in fields(self) if said_of(field).kind == "picture")
        return tuple(each for value in values for each in (value if isinstance(value, tuple) else (value,)) if each)

    def _source_complaint(self) -> str | None:
        sides = MIN_SIZE, MAX_SIZE
        return source_complaint(
            self.source, self.mask, self.strength, self.outpaint, self.steps, sides=sides, most_steps=MAX_STEPS
        )

    @property
    def keeps_by_mask(self) -> bool:
        """Whether a part of the source is kept whatever the strength."""
        return bool(self.mask or self.outpaint)

    @property
    def shows_source(self) -> bool:
        """Whether the source is the first reference, too: where nothing else is said, if it is extended."""
        return bool(self.outpaint) if self.source_as_reference is None else self.source_as_reference

    def with_seed(self) -> Self:
        """Itself with a random seed where it has none, for a variation, too, where there is one."""
        found: dict[str, Any] = {}
        if self.seed is None:
            found["seed"] = secrets.randbelow(MAX_SEED + 1)
        if self.variation_strength and self.variation_seed is None:
            found["variation_seed"] = secrets.randbelow(MAX_SEED + 1)
        return replace(self, **found) if found else self

    def resolved(self) -> Self:
        """Itself with a seed, and with the wildcards of its prompt as this seed has them."""
        seeded, template = self.with_seed(), self.prompt_template or self.prompt
        if seeded.seed is None or not has_wildcards(template):
            return seeded
        return replace(seeded, prompt=resolve(template, seeded.seed), prompt_template=template)

    @classmethod
    def from_kept(cls, data: dict[str, Any]) -> Self:
        """Read one that was kept, perhaps by an earlier version: what that had not, was as it always did it.

        Raises:
            RequestError: as `from_dict`.
        """
        return cls.from_dict({"noise": "mlx"} | data)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Read one from JSON; null is a field's default, and fields that this version does not know are ignored.

        Raises:
            RequestError: if a value has the wrong type.
        """
        if not isinstance(data.get("prompt"), str):
            raise RequestError(f"The request has no prompt: {data!r:.200}; send one with a text in `prompt`.")
        said = {field.name: data[field.name] for field in fields(cls) if data.get(field.name) is not None}
        try:
            return read_dataclass(cls, said)
        except ValueError as error:
            raise RequestError(f"The request's {error}; send one of that type.") from error
