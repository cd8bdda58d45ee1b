"""The embedded, trained model: from the same noise the engine draws what diffusers draws."""

from __future__ import annotations

import engine
import numpy as np
import pytest
from compare import psnr, relative_distance
from recordings import POCKET_SEQUENCE_LENGTHS, Recording, pocket_recording

from flux2.paths import pocket_checkpoint

PSNR_DB = 50.0
LATENTS_LIMIT = 1e-3

CAPTIONS_AND_SIZES = [
    ("a small white sailboat on the sea at night", 192, 320),
    ("A red car in front of a house in the snow, early in the morning. Highly detailed, 4k.", 256, 256),
]


@pytest.mark.parametrize("sequence_length", POCKET_SEQUENCE_LENGTHS)
def test_the_recorded_picture(sequence_length: int) -> None:
    run = pocket_recording(sequence_length)
    ours = engine.generate(run)
    assert relative_distance(ours.latents[-1], run["latents"]) <= LATENTS_LIMIT
    assert psnr(ours.image, run["image"], peak=255) >= PSNR_DB


@pytest.mark.parametrize(("prompt", "height", "width"), CAPTIONS_AND_SIZES)
def test_live_against_diffusers(prompt: str, height: int, width: int) -> None:
    """Where the extra `reference` is installed: other captions and sizes, seeds that nobody chose."""
    pytest.importorskip("torch")
    pytest.importorskip("diffusers")
    import record

    pipeline = record.load_reference(pocket_checkpoint())
    run = record.Run(
        prompt, height, width, 4, max_sequence_length=64, seed=int(np.random.default_rng().integers(2**31))
    )
    noise = record.random_noise(pipeline, run)
    image, _ = record.generate(pipeline, run, noise)
    ours = engine.generate(Recording(pocket_checkpoint(), vars(run), {"noise": noise.numpy()}))
    assert psnr(ours.image, image, peak=255) >= PSNR_DB, run
