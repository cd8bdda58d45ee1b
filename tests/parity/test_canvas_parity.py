"""A source picture is changed as diffusers changes it: by strength and masks, with and without references, in float32.

What is compared is the latents after each step; of the picture, what is painted anew, for diffusers sends what is kept
through its autoencoder, too.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from canvas_recordings import EDITS, EditRecording, edit_recording
from compare import IMAGE_PSNR_DB, RELATIVE_LIMIT, SIGMA_LIMIT, psnr, relative_error
from PIL import Image

from flux2 import Flux2Pipeline
from flux2.architecture import strength
from flux2.backend.mlx import mx
from flux2.canvas import canvas
from flux2.denoise.source import Source
from flux2.denoise.steps import unpack

pytestmark = pytest.mark.filterwarnings("ignore:The prompt is", "ignore:At strength 1")


@cache
def pipeline(checkpoint: Path) -> Flux2Pipeline:
    return Flux2Pipeline.from_pretrained(checkpoint, dtype="float32")


def differences(run: EditRecording, **changed: Any) -> dict[str, str]:
    """What of the engine's run is further from the recording than its limit allows."""
    edit, latents, sigmas = run.edit, [], []

    def keep(_pipe: Flux2Pipeline, _step: int, sigma: float, tensors: dict[str, mx.array]) -> None:
        sigmas.append(sigma)
        latents.append(np.array(tensors["latents"]))

    height, width, _ = run["source"].shape
    mask = np.kron(run["mask"] * 255, np.ones((16, 16))).astype(np.uint8)
    arguments = {
        "image": Image.fromarray(run["source"]),
        "image_reference": [Image.fromarray(run["reference"])] if edit.reference else (),
        "mask_image": Image.fromarray(mask) if edit.masked else None,
        "strength": edit.strength,
        "num_inference_steps": edit.num_inference_steps,
        "guidance_scale": edit.guidance_scale,
        "max_sequence_length": edit.max_sequence_length,
        "source_as_reference": edit.source_as_reference,
        "latents": unpack(mx.array(run["noise"]), height, width),
    } | changed
    image = np.asarray(pipeline(run.checkpoint)(edit.prompt, callback_on_step_end=keep, **arguments).images[0])

    found = {}
    if len(sigmas) != len(run["sigmas"]):
        return {"steps": f"{len(sigmas)} in place of {len(run['sigmas'])}"}
    if not np.abs(np.array(sigmas) - run["sigmas"]).max() <= SIGMA_LIMIT:
        found["sigmas"] = f"{sigmas}"
    for step, (ours, reference) in enumerate(zip(latents, run["latents"], strict=True), start=1):
        if not (error := relative_error(ours, reference)) <= RELATIVE_LIMIT:
            found[f"latents after step {step}"] = f"{error:.2g}"
    if psnr(image[mask == 255], run["image"][mask == 255], peak=255) < IMAGE_PSNR_DB:
        found["image"] = "differs"
    if not np.array_equal(image[mask == 0], run["source"][mask == 0]):
        found["kept"] = "differs"
    return found


@pytest.mark.parametrize("name", EDITS)
def test_every_step_and_what_is_painted(name: str) -> None:
    assert differences(edit_recording(name)) == {}


def test_what_is_kept_would_have_been_through_the_autoencoder() -> None:
    """Diffusers' picture differs there from its source; ours does not."""
    run = edit_recording("mask")
    kept = np.kron(run["mask"], np.ones((16, 16))) == 0
    assert np.abs(run["image"][kept].astype(int) - run["source"][kept]).mean() > 1


FAULTS = ["mask", "mask-guided", "mask-dev"]


@pytest.mark.parametrize("name", FAULTS)
def test_other_noise_in_what_is_put_back_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def noised(self: Source, sigma: float) -> mx.array:
        other = mx.random.normal(self.noise.shape, key=mx.random.key(int(sigma * 1e6)))
        return sigma * other + (1 - sigma) * self.picture.latents

    monkeypatch.setattr(Source, "noised", noised)
    assert "latents after step 1" in differences(edit_recording(name))


@pytest.mark.parametrize("name", FAULTS)
def test_putting_back_at_the_level_before_the_step_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_back = Source.put_back

    def too_noisy(self: Source, latents: mx.array, sigma: float) -> mx.array:
        return put_back(self, latents, min(1.0, sigma + 0.05))

    monkeypatch.setattr(Source, "put_back", too_noisy)
    assert "latents after step 1" in differences(edit_recording(name))


@pytest.mark.parametrize("name", FAULTS)
def test_a_mask_the_other_way_round_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = canvas.token_weights
    monkeypatch.setattr(canvas, "token_weights", lambda *arguments: 1 - weights(*arguments))
    assert "latents after step 1" in differences(edit_recording(name))


@pytest.mark.parametrize("name", ["strength-0.75", "strength-guided", "strength-dev"])
def test_a_schedule_that_is_made_for_the_steps_that_run_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mu follows from the whole schedule's steps; so do the levels between."""

    def squeezed(steps: int, _strength: float) -> strength.PartOfSchedule:
        return strength.PartOfSchedule(steps, 0)

    monkeypatch.setattr("flux2.denoise.schedule.scheduled", squeezed)
    assert {"sigmas", "latents after step 1"} <= set(differences(edit_recording(name)))


@pytest.mark.parametrize("name", ["strength-0.5", "strength-guided", "mask"])
def test_one_step_more_or_less_is_found(name: str) -> None:
    run = edit_recording(name)
    assert set(differences(run, num_inference_steps=run.edit.num_inference_steps + 2)) & {"steps", "sigmas"}


def test_a_source_that_is_a_reference_or_not_is_found() -> None:
    assert "latents after step 1" in differences(edit_recording("mask"), source_as_reference=True)
    assert "latents after step 1" in differences(edit_recording("mask-source"), source_as_reference=False)
    assert "latents after step 1" in differences(edit_recording("mask-source-reference"), image_reference=())
