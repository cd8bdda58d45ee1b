"""What of a source is put back after a step, and the noise levels of a run at less than full strength."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.backend.mlx import mx
from flux2.denoise.schedule import SchedulerConfig, noise_levels
from flux2.denoise.source import Source
from flux2.denoise.steps import DenoisingPlan
from flux2.references.encoding import EncodedPicture

CONFIG = SchedulerConfig(use_dynamic_shifting=True, shift=3.0, time_shift_type="exponential")


def some(*shape: int, seed: int) -> mx.array:
    return mx.random.normal(shape, key=mx.random.key(seed))


def source(freedom: list[float]) -> Source:
    count = len(freedom)
    clean, noise = some(1, count, 8, seed=1), some(1, count, 8, seed=2)
    return Source(
        picture=EncodedPicture(clean, (1, count)), noise=noise, freedom=mx.array(freedom).reshape(1, count, 1)
    )


@pytest.mark.parametrize("sigma", [0.9, 0.25, 0.0])
def test_what_is_kept_is_as_noisy_as_the_rest_and_what_is_free_is_left_alone(sigma: float) -> None:
    kept, latents = source([0.0, 1.0, 0.25]), some(1, 3, 8, seed=3)
    clean, noise, x = (np.array(array) for array in (kept.picture.latents, kept.noise, latents))
    found, noisy = np.array(kept.put_back(latents, sigma)), sigma * noise + (1 - sigma) * clean
    np.testing.assert_allclose(found[:, 0], noisy[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(found[:, 1], x[:, 1])
    np.testing.assert_allclose(found[:, 2], 0.25 * x[:, 2] + 0.75 * noisy[:, 2], rtol=1e-5, atol=1e-6)


def test_in_the_end_what_is_kept_is_the_source_to_the_last_bit() -> None:
    kept = source([0.0, 1.0])
    np.testing.assert_array_equal(
        np.array(kept.put_back(some(1, 2, 8, seed=3), 0.0))[:, 0], np.array(kept.picture.latents)[:, 0]
    )


def test_a_start_at_full_noise_is_the_noise_itself() -> None:
    kept = source([1.0, 0.0])
    np.testing.assert_array_equal(np.array(kept.noised(1.0)), np.array(kept.noise))


@pytest.mark.parametrize(("steps", "strength", "total"), [(4, 1.0, 4), (4, 0.6, 6), (2, 0.25, 8), (28, 0.5, 56)])
def test_the_levels_are_the_last_of_the_whole_schedules(steps: int, strength: float, total: int) -> None:
    plan = DenoisingPlan(
        height=256, width=320, steps=steps, guidance=1.0, scheduler=CONFIG, embeddings=mx.zeros((1, 1, 1)),
        strength=strength,
    )  # fmt: skip
    levels = noise_levels(total, 320, CONFIG).tolist()
    assert plan.sigmas == levels[total - steps :]
    assert len(plan.sigmas) == steps + 1 and plan.sigmas[-1] == 0
