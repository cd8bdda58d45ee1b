"""What a run is to be made with and on, as far as the memory that it takes depends on it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flux2.architecture.limits import DTYPE_BYTES, TOKEN_PIXELS, DeviceType
from flux2.architecture.reference_sizes import Size

FILE_BYTES = 2  # of a weight in the checkpoint, bfloat16


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What computes, as far as memory depends on it."""

    dtype: str = "bfloat16"
    device: DeviceType = "gpu"
    keep_transformer: bool = True
    """Whether it is kept for the next picture; False where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run is to be made with, as far as memory depends on it."""

    quantization: str = "bf16"
    residency: str = "resident"
    keep_text_encoder: bool = False
    keep_transformer: bool = True
    """Whether it is kept for the next picture, where the budget allows it; else it is let go before the decode."""
    width: int = 1024
    height: int = 1024
    dtype: str = "bfloat16"
    device: DeviceType = "gpu"
    guided: bool = False
    """Whether there is a second pass per step, for a negative prompt."""
    text_tokens: int = 0
    """0 for what the model was trained with."""
    references: tuple[Size, ...] = ()
    """Width and height of each reference picture as it is encoded, pixels."""
    source: bool = False
    """Whether a picture is changed itself, which is encoded at the size that is drawn."""
    source_as_reference: bool = False
    """Whether it is a reference besides."""
    caches_references: bool = False
    """Whether what the transformer makes of them is kept for all steps, in place of computing it in each."""

    lora_bytes: int = 0
    """Bytes of LoRAs beside the transformer's weights; what they compute on the way is too little to plan."""

    @property
    def compute_bytes(self) -> int:
        return DTYPE_BYTES[self.dtype]

    @property
    def image_tokens(self) -> int:
        return (self.width // TOKEN_PIXELS) * (self.height // TOKEN_PIXELS)

    @property
    def pictures(self) -> tuple[Size, ...]:
        """Width and height of each picture that is encoded."""
        return ((self.width, self.height), *self.references) if self.source else self.references

    @property
    def reference_tokens(self) -> int:
        """Tokens of what the transformer is told of."""
        return picture_tokens(self.pictures if self.source_as_reference else self.references)

    @property
    def step_tokens(self) -> int:
        """Tokens that go through a step's blocks together."""
        return self.text_tokens + self.image_tokens + (0 if self.caches_references else self.reference_tokens)

    @property
    def prompts(self) -> int:
        return 2 if self.guided else 1

    @property
    def widens(self) -> bool:
        """Whether weights are narrower than what is computed in, so that each is widened when it is used."""
        return self.compute_bytes > FILE_BYTES


def picture_tokens(pictures: Iterable[Size]) -> int:
    """Tokens of pictures of these sizes."""
    return sum((width // TOKEN_PIXELS) * (height // TOKEN_PIXELS) for width, height in pictures)
