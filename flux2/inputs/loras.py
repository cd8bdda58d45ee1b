"""`Lora`: a LoRA as a request asks for it, with its strength; how it is written, and where people keep theirs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from flux2.architecture.catalog import is_repo_id
from flux2.errors import RequestError

MAX_SCALE = 10.0
"""Strength, of either sign, beyond which no picture is left."""
ENDING = ".safetensors"


@dataclass(frozen=True, slots=True)
class Lora:
    """One LoRA of a request; its digest and scale decide the picture, its name says where it was."""

    name: str
    """A file, the name of one in the folder for LoRAs, or a Hub repository: `owner/name`, or `owner/name:file`."""
    digest: str = ""
    """SHA-256 of the file; "" until somebody has looked."""
    scale: float = 1.0
    """How strongly it changes the model: 1 as it was trained, 0 not at all, negative away from it."""

    @classmethod
    def parse(cls, text: str) -> Lora:
        """One as it is typed: a name, with `@0.8` behind it for another strength than 1.

        Raises:
            RequestError: if there is no name, or the strength makes no sense.
        """
        name, at, number = text.rpartition("@")
        scale = _number(number) if at and name else None
        lora = cls(text.strip()) if scale is None else cls(name.strip(), scale=scale)
        if complaint := lora.complaint():
            raise RequestError(complaint)
        return lora

    @property
    def title(self) -> str:
        """Name for people and for pictures, which are nobody's way into this disk: the file's, without its ending."""
        return Path(self.name.rpartition(":")[2]).name.removesuffix(ENDING) or self.name

    def __str__(self) -> str:
        """`style@0.8`; at scale 1 the name alone."""
        return self.title if self.scale == 1 else f"{self.title}@{self.scale:g}"

    def complaint(self) -> str:
        """What is wrong with it, one sentence; "" for nothing."""
        if not self.name:
            return "A LoRA needs a name: a file, the name of one in the folder for LoRAs, or a Hub repository."
        if not (math.isfinite(self.scale) and abs(self.scale) <= MAX_SCALE):
            return f"The scale {self.scale:g} of {self.title} is out of range; choose -{MAX_SCALE:g} to {MAX_SCALE:g}."
        return ""

    def public(self) -> Lora:
        """Itself with no more of a path than the file's name; a Hub repository stays."""
        return self if is_hub_name(self.name) else replace(self, name=self.title)


def check_loras(_: str, loras: tuple[Lora, ...]) -> str | None:
    """What is wrong with a request's; None for nothing."""
    return next((complaint for lora in loras if (complaint := lora.complaint())), None)


def what_loras_do(loras: tuple[Lora, ...]) -> tuple[tuple[str, float], ...]:
    """What of them decides the picture: digests and scales, in whichever order; names of those not looked at yet."""
    return tuple(sorted((lora.digest or lora.name, lora.scale) for lora in loras if lora.scale))


def is_hub_name(name: str) -> bool:
    """Whether this is written as a repository on the Hub, with or without a file in it."""
    repo, colon, _ = name.partition(":")
    return is_repo_id(repo) and (bool(colon) or not name.endswith(ENDING))


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
