"""Runs of diffusers that begin with a source picture: what `record_canvas.py` records, as the tests see it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from recordings import RECORDINGS
from safetensors.numpy import load_file

CANVAS = RECORDINGS / "canvas"
CANVAS_FILES = "*.safetensors"
HEIGHT, WIDTH = 64, 80


@dataclass(frozen=True, kw_only=True)
class Edit:
    """One call of diffusers' inpainting; without a mask all is repainted, which is image-to-image."""

    checkpoint: str
    prompt: str
    num_inference_steps: int
    strength: float
    guidance_scale: float = 1.0
    max_sequence_length: int = 64
    seed: int = 0
    masked: bool = True
    source_as_reference: bool = False
    """Diffusers always does so; where it does not, the references are taken out of its sequence."""
    reference: bool = False
    """Whether there is another reference picture."""


EDITS = {
    **{
        f"strength-{strength}": Edit(
            checkpoint="distilled", prompt="a red fox", num_inference_steps=4, strength=strength, seed=61, masked=False
        )
        for strength in (1.0, 0.75, 0.5, 0.2)
    },
    "strength-guided": Edit(
        checkpoint="base",
        prompt="a cat on a windowsill",
        num_inference_steps=5,
        strength=0.6,
        guidance_scale=4.0,
        seed=62,
        masked=False,
    ),
    "strength-dev": Edit(
        checkpoint="dev", prompt="a cat", num_inference_steps=4, strength=0.5, guidance_scale=2.5, seed=63, masked=False
    ),
    "mask": Edit(checkpoint="distilled", prompt="a red fox", num_inference_steps=4, strength=0.75, seed=64),
    "mask-guided": Edit(
        checkpoint="base", prompt="two boats", num_inference_steps=3, strength=1.0, guidance_scale=3.0, seed=65
    ),
    "mask-dev": Edit(
        checkpoint="dev", prompt="two boats", num_inference_steps=4, strength=0.8, guidance_scale=4.0, seed=66
    ),
    "mask-source": Edit(
        checkpoint="distilled",
        prompt="a red fox",
        num_inference_steps=4,
        strength=0.75,
        seed=67,
        source_as_reference=True,
    ),
    "mask-source-reference": Edit(
        checkpoint="base",
        prompt="a red fox",
        num_inference_steps=3,
        strength=1.0,
        guidance_scale=2.0,
        seed=68,
        source_as_reference=True,
        reference=True,
    ),
}


@dataclass(frozen=True)
class EditRecording:
    """A call, and what it computed."""

    name: str
    edit: Edit
    tensors: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    @property
    def checkpoint(self) -> Path:
        return RECORDINGS / self.edit.checkpoint / "checkpoint"


def edit_recording(name: str) -> EditRecording:
    """The recording of this edit.

    Its tensors: source and reference [H, W, 3] uint8, mask [H / 16, W / 16] of 0 and 1, clean and noise packed, latents
    after each step [steps, 1, tokens, channels], sigmas of the steps that ran, and the decoded image.
    """
    return EditRecording(name, EDITS[name], load_file(CANVAS / f"{name}.safetensors"))
