"""flux2.denoise.schedule on its own; against diffusers' numbers it is held in tests/parity."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flux2.backend.mlx import mx
from flux2.denoise.schedule import (
    SchedulerConfig,
    clean_estimate,
    empirical_mu,
    euler_step,
    guided_velocity,
    noise_levels,
)
from flux2.errors import CheckpointError

SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "shift": 3.0}


@pytest.mark.parametrize("steps", [1, 2, 4, 50])
@pytest.mark.parametrize("image_tokens", [16, 4096, 16384])
def test_noise_falls_from_all_to_none(steps: int, image_tokens: int) -> None:
    sigmas = noise_levels(steps, image_tokens, SchedulerConfig.from_dict(SCHEDULER))
    assert sigmas.shape == (steps + 1,)
    assert sigmas.dtype == np.float32
    assert (sigmas[0], sigmas[-1]) == (1, 0)
    assert (np.diff(sigmas) < 0).all()


def test_larger_pictures_stay_longer_at_high_noise() -> None:
    config = SchedulerConfig.from_dict(SCHEDULER)
    assert (noise_levels(28, 4096, config)[1:-1] > noise_levels(28, 256, config)[1:-1]).all()


def test_mu_is_the_200_step_line_for_very_large_pictures() -> None:
    assert empirical_mu(4301, 4) == empirical_mu(4301, 50)
    assert empirical_mu(4300, 4) != empirical_mu(4300, 50)


@pytest.mark.parametrize(
    ("change", "levels"),
    [
        ({"use_dynamic_shifting": False}, [1, 0.75, 0]),  # 3 / (3 + 1)
        ({"use_dynamic_shifting": False, "shift": 1.0}, [1, 0.5, 0]),
        ({"time_shift_type": "linear"}, [1, empirical_mu(256, 2) / (empirical_mu(256, 2) + 1), 0]),
    ],
)
def test_other_shifts_of_the_scheduler(change: dict[str, Any], levels: list[float]) -> None:
    np.testing.assert_allclose(noise_levels(2, 256, SchedulerConfig.from_dict({**SCHEDULER, **change})), levels, 1e-6)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("_class_name", "DDIMScheduler"),
        ("use_karras_sigmas", True),
        ("use_exponential_sigmas", True),
        ("use_beta_sigmas", True),
        ("stochastic_sampling", True),
        ("invert_sigmas", True),
        ("shift_terminal", 0.02),
        ("time_shift_type", "cosine"),
        ("use_dynamic_shifting", "yes"),
        ("shift", 0),
    ],
)
def test_refuses_schedules_it_does_not_make(key: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"{key} is {value!r}"):
        SchedulerConfig.from_dict({**SCHEDULER, key: value})


def test_a_perfect_velocity_leads_to_the_picture_from_anywhere() -> None:
    clean, noise, sigma = mx.array([1.0, -2.0]), mx.array([0.5, 3.0]), 0.7
    latents, velocity = (1 - sigma) * clean + sigma * noise, noise - clean
    assert mx.allclose(clean_estimate(latents, velocity, sigma), clean)
    assert mx.allclose(euler_step(latents, velocity, sigma, 0.0), clean)
    assert mx.allclose(euler_step(latents, velocity, sigma, 0.2), 0.8 * clean + 0.2 * noise)


def test_guidance_goes_away_from_the_negative_prompt() -> None:
    velocity, negative = mx.array([1.0]), mx.array([0.5])
    assert [guided_velocity(velocity, negative, scale).item() for scale in (0, 1, 4)] == [0.5, 1.0, 2.5]
