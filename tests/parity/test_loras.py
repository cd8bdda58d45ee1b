"""A LoRA on every matrix, with noise levels of its own, against what diffusers computed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from compare import SIGMA_LIMIT
from recordings import LORA, RECORDINGS
from safetensors.numpy import load_file
from test_schedule import scheduler_config

from flux2 import Flux2Pipeline
from flux2.backend.mlx import mx
from flux2.denoise.schedule import noise_levels

RECORDED = load_file(LORA / "run.safetensors")
DESCRIPTION = json.loads((LORA / "run.json").read_text())
CHECKPOINT = RECORDINGS / "dev" / "checkpoint"
LIMIT = 5e-5


@pytest.fixture(scope="module")
def pipe() -> Flux2Pipeline:
    found = Flux2Pipeline.from_pretrained(CHECKPOINT, dtype="float32")
    found.load_lora_weights(LORA / "lora.safetensors", "it")
    return found


@pytest.mark.filterwarnings("ignore:The prompt is")
@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_latents_are_diffusers(scale: float, pipe: Flux2Pipeline) -> None:
    found: list[np.ndarray] = []

    def keep(_pipe: Flux2Pipeline, _step: int, _sigma: float, tensors: dict[str, mx.array]) -> None:
        found.append(np.array(tensors["latents"]))

    pipe.set_adapters("it", scale)
    pipe(**DESCRIPTION["arguments"], latents=RECORDED["noise"], callback_on_step_end=keep)
    assert np.abs(found[-1] - RECORDED[f"latents at {scale:g}"]).max() <= LIMIT


def test_the_scales_recorded_differ() -> None:
    assert np.abs(RECORDED["latents at 1"] - RECORDED["latents at 0.5"]).max() > 1000 * LIMIT


@pytest.mark.parametrize("row", DESCRIPTION["schedules"], ids=lambda row: str(row["image_tokens"]))
def test_own_sigmas_are_shifted_as_diffusers_shifts_them(row: dict[str, Any]) -> None:
    sigmas = DESCRIPTION["arguments"]["sigmas"]
    levels = noise_levels(len(sigmas), row["image_tokens"], scheduler_config(CHECKPOINT), sigmas)
    np.testing.assert_allclose(levels, row["sigmas"], rtol=0, atol=SIGMA_LIMIT)
