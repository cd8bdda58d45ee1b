"""What a user asks for: one picture, as plain data that travels over the socket and into the PNG."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Self

from flux2.architecture.strength import as_run
from flux2.dataclass_json import read_dataclass
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment
from flux2.inputs.checks import (
    MAX_SEED,
    MAX_SIZE,
    MAX_STEPS,
    MIN_SIZE,
    NOISES,
    check_area,
    check_length,
    check_noise,
    check_outpaint,
    check_pictures,
    check_references,
    check_seed,
    check_share,
    check_sigmas,
    check_strength,
    digests,
    names,
    read_outpaint,
    read_sigmas,
)
from flux2.inputs.loras import Lora, check_loras, what_loras_do
from flux2.inputs.source import source_complaint
from flux2.inputs.text_request import TextRequest
from flux2.inputs.wildcards import has_wildcards, resolve
from flux2.request_fields import Option, about, said_of

PICTURES_IN = "pictures that are handed in"
"""Heading of the options that are about them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest(TextRequest):
    """One picture to make. `None` means the model's default (size, steps, guidance) or "choose one" (seed, output).

    What is to be known of a field stands in its declaration; `flux2.request_fields` says what follows from it.
    """

    references: tuple[Attachment, ...] = about(
        (),
        kind="picture",
        check=check_references,
        canonical=digests,
        line="references",
        shown=names,
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
    source: Attachment | None = about(None, kind="picture", check=check_pictures, canonical=digests, line="source")
    """The picture that is changed itself: where image-to-image starts, what a mask repaints or outpainting extends."""
    mask: Attachment | None = about(
        None,
        kind="picture",
        check=check_pictures,
        canonical=digests,
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
        check=check_strength,
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
        check=check_outpaint,
        line="outpaint",
        shown=lambda sides: ",".join(map(str, sides)),
        option=Option(
            names=("--outpaint",),
            metavar="TOP,RIGHT,BOTTOM,LEFT",
            help="pixels by which the first picture is extended",
            read=read_outpaint,
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
        check=check_area,
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
        check=check_noise,
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
        check=check_seed,
        line="variation",
        option=Option(
            names=("--variation-seed",), metavar="S", help="another seed, towards whose noise the seed's is turned"
        ),
    )
    variation_strength: float | None = about(
        None,
        check=check_share,
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
        shown=names,
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
        check=check_sigmas,
        line="sigmas",
        shown=names,
        option=Option(
            names=("--sigmas",),
            metavar="S,S,…",
            help="noise levels of one's own in place of even ones, falling from 1; shifted as these are",
            read=read_sigmas,
        ),
    )
    """Noise levels before the shift, one per step; None for even ones."""
    max_sequence_length: int | None = about(None, by_model=True, check=check_length, line="tokens")
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

    @property
    def first_number(self) -> int:
        """Number that a prompt calls the first of its references by: 2 where the source is shown, and is image 1."""
        return 2 if self.source and self.shows_source else 1

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
