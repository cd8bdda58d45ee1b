"""The recorded runs of diffusers with reference pictures, which `record_references.py` writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from recordings import RECORDINGS, Recording
from safetensors.numpy import load_file

REFERENCES = RECORDINGS / "references"
SIDE = 64
"""Pixels of each side of the pictures made."""


@dataclass(frozen=True)
class ReferenceRecording:
    """One call of diffusers' pipeline with `image`."""

    run: Recording
    pictures: list[str]
    """Names in `reference_pictures.PICTURES`, in the order given."""
    cached: bool
    """Whether it was `Flux2KleinKVPipeline`'s."""

    @property
    def latents(self) -> np.ndarray:
        """Packed, after the last step: [1, tokens, channels]."""
        return self.run["latents"]


def noise_of(seed: int, channels: int) -> np.ndarray:
    """What a run began with, [1, channels, SIDE / 16, SIDE / 16]."""
    return np.random.default_rng(seed).standard_normal((1, channels, SIDE // 16, SIDE // 16), dtype=np.float32)


@cache
def recorded_runs() -> dict[str, ReferenceRecording]:
    """All of them, by name."""
    described: dict[str, Any] = json.loads((REFERENCES / "runs.json").read_text())["runs"]
    tensors = load_file(REFERENCES / "runs.safetensors")
    return {name: _recording(name, facts, tensors) for name, facts in described.items()}


def _recording(name: str, facts: dict[str, Any], tensors: dict[str, np.ndarray]) -> ReferenceRecording:
    checkpoint = RECORDINGS / facts["checkpoint"] / "checkpoint"
    channels = json.loads((checkpoint / "transformer" / "config.json").read_text())["in_channels"]
    own = {"latents": tensors[f"{name}.latents"], "noise": noise_of(facts["seed"], channels)}
    run = Recording(checkpoint, facts["arguments"], own)
    return ReferenceRecording(run, facts["pictures"], facts["cached"])


@cache
def prepared_digests() -> dict[str, dict[str, Any]]:
    """What diffusers makes of each picture: {"size": [width, height], "digest": SHA-256 of its pixels}, by name."""
    prepared: dict[str, dict[str, Any]] = json.loads((REFERENCES / "runs.json").read_text())["prepared"]
    return prepared


@cache
def encoded_pictures() -> dict[str, np.ndarray]:
    """Clean latents [1, tokens, channels] of some pictures by the checkpoint "distilled", by name."""
    return load_file(REFERENCES / "encoded.safetensors")
