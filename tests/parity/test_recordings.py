"""The yardstick itself: the distances notice what they should, and the recordings are what they claim to be."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

import numpy as np
import pytest
from compare import RELATIVE_LIMIT, psnr, relative_distance, relative_error
from recordings import ALL_RUNS, RECORDINGS, Recording, recording

MACHINE_PATH = re.compile(r"(?<![\w.])/(home|root|tmp|opt|work|Users|mnt)/")


def test_one_wrong_element_of_many_is_noticed() -> None:
    reference = np.random.default_rng(0).normal(size=100_000)
    ours = reference.copy()
    assert relative_error(ours, reference) == 0.0
    ours[12_345] += 0.002
    assert relative_error(ours, reference) > RELATIVE_LIMIT


def test_nan_is_an_infinite_error() -> None:
    assert relative_error(np.array([1.0, math.nan]), np.array([1.0, 1.0])) == math.inf


@pytest.mark.parametrize("distance", [relative_error, relative_distance, lambda a, b: psnr(a, b, peak=1.0)])
def test_shapes_are_not_broadcast(distance: Callable[..., float]) -> None:
    with pytest.raises(ValueError, match="shapes differ"):
        distance(np.ones((1, 3)), np.ones((3,)))


def test_psnr_of_a_known_error() -> None:
    reference = np.zeros((8, 8, 3), np.uint8)
    assert psnr(reference, reference, peak=255) == math.inf
    assert psnr(reference + 1, reference, peak=255) == pytest.approx(48.13, abs=0.01)


@pytest.mark.parametrize("name", ALL_RUNS)
def test_a_recording_is_whole(name: str) -> None:
    run: Recording = recording(name)
    steps, tokens = run.arguments["num_inference_steps"], run["noise"].shape[2] * run["noise"].shape[3]
    assert run["latents"].shape == (steps, 1, tokens, run["noise"].shape[1])
    assert run["sigmas"].shape == (steps + 1,)
    assert run["image"].shape == (run.arguments["height"], run.arguments["width"], 3)
    assert run["input_ids"].shape == (1, run.arguments["max_sequence_length"])
    guided = run.arguments["guidance_scale"] > 1 and "base" in name
    assert ("negative_prompt_embeds" in run.tensors) == guided
    assert all(np.isfinite(tensor).all() for tensor in run.tensors.values())


def test_the_recordings_hold_no_path_of_the_machine_that_made_them() -> None:
    for path in sorted(RECORDINGS.rglob("*.json")):
        assert not MACHINE_PATH.search(path.read_text()), path
