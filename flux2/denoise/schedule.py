"""Which noise levels a run goes through, and the step from one to the next (flow matching, Euler).

Arithmetic alone: no network, no file. The constants and formulas are those of diffusers' `compute_empirical_mu` and
`FlowMatchEulerDiscreteScheduler`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from flux2.architecture.config_reader import ConfigReader
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.strength import scheduled

if TYPE_CHECKING:
    from flux2.backend.mlx import mx

# mu as a line over image tokens, fitted by the model's authors at 10 and at 200 steps: (slope, intercept).
MU_AT_10_STEPS = (8.73809524e-05, 1.89833333)
MU_AT_200_STEPS = (0.00016927, 0.45666666)
MANY_IMAGE_TOKENS = 4300  # above, the 200-step line holds for every number of steps

# scheduler_config.json: what would make another schedule than this file's, and the value that doesn't.
_UNSUPPORTED = {
    "use_karras_sigmas": False,
    "use_exponential_sigmas": False,
    "use_beta_sigmas": False,
    "stochastic_sampling": False,
    "invert_sigmas": False,
    "shift_terminal": None,
}

_DYNAMIC_SHIFTS: dict[str, Callable[[float], float]] = {"exponential": math.exp, "linear": float}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """The constants of scheduler/scheduler_config.json, under diffusers' names."""

    use_dynamic_shifting: bool
    shift: float
    """Used where the shift is not dynamic."""
    time_shift_type: str

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str = "scheduler/scheduler_config.json") -> SchedulerConfig:
        """Read scheduler_config.json; unknown keys are ignored.

        Raises:
            CheckpointError: naming `file`, key and value of what makes no sense or is not supported.
        """
        read = ConfigReader(values, file)
        read.require("_class_name", "FlowMatchEulerDiscreteScheduler")
        read.support_only("time_shift_type", *_DYNAMIC_SHIFTS)
        for key, value in _UNSUPPORTED.items():
            read.support_only(key, value)
        return cls(
            use_dynamic_shifting=read.flag("use_dynamic_shifting", False),
            shift=read.number("shift", 1.0),
            time_shift_type=values.get("time_shift_type", "exponential"),
        )


FLUX2 = SchedulerConfig.from_dict(ARCHITECTURES["dev"].scheduler)
"""The schedule of all published FLUX.2 models."""


def empirical_mu(image_tokens: int, steps: int) -> float:
    """How far the schedule leans towards high noise, from the picture's size and the number of steps."""
    (slope_10, intercept_10), (slope_200, intercept_200) = MU_AT_10_STEPS, MU_AT_200_STEPS
    mu_200 = slope_200 * image_tokens + intercept_200
    if image_tokens > MANY_IMAGE_TOKENS:
        return mu_200
    mu_10 = slope_10 * image_tokens + intercept_10
    return mu_200 + (mu_200 - mu_10) / 190 * (steps - 200)


def noise_levels(
    steps: int, image_tokens: int, config: SchedulerConfig, sigmas: Sequence[float] | None = None
) -> npt.NDArray[np.float32]:
    """The sigmas of a run, [steps + 1], falling from 1 to 0: step i goes from sigma i to sigma i + 1.

    Args:
        sigmas: one per step in place of even ones, before the shift, which is theirs, too, as in diffusers.
    """
    even = (
        np.linspace(1.0, 1.0 / steps, steps).astype(np.float32)
        if sigmas is None
        else np.array(sigmas, dtype=np.float32)
    )
    shift = config.shift
    if config.use_dynamic_shifting:
        shift = _DYNAMIC_SHIFTS[config.time_shift_type](empirical_mu(image_tokens, steps))
    shifted = shift / (shift + (1 / even - 1))
    return np.append(shifted, 0).astype(np.float32)


def levels_of_run(
    steps: int, strength: float, image_tokens: int, config: SchedulerConfig, sigmas: Sequence[float] | None = None
) -> list[float]:
    """The sigmas that a run of so many steps goes through, one more than these.

    They are the last of a schedule: of `sigmas`, else of the one that strength, above 0, makes them part of
    (`flux2.architecture.strength`).
    """
    total = scheduled(steps, strength).total if sigmas is None else len(sigmas)
    levels: list[float] = noise_levels(total, image_tokens, config, sigmas)[total - steps :].tolist()
    return levels


def told_beginning(
    steps: int,
    strength: float,
    image_tokens: int,
    config: SchedulerConfig = FLUX2,
    sigmas: Sequence[float] | None = None,
) -> str:
    """What a strength comes to, for people: `4 steps, the last of 6, from noise level 0.93`."""
    total = scheduled(steps, strength).total if sigmas is None else len(sigmas)
    level = levels_of_run(steps, strength, image_tokens, config, sigmas)[0]
    return f"{steps} step{'s' if steps > 1 else ''}, the last of {total}, from noise level {level:.2f}"


def euler_step(latents: mx.array, velocity: mx.array, sigma: float, sigma_next: float) -> mx.array:
    """The latents at `sigma_next`, from those at `sigma` and the velocity predicted there. Keep both in float32."""
    return latents + (sigma_next - sigma) * velocity


def clean_estimate(latents: mx.array, velocity: mx.array, sigma: float) -> mx.array:
    """x0 = x − σ·v: the finished latents as far as they can be told at noise level `sigma`."""
    return latents - sigma * velocity


def guided_velocity(velocity: mx.array, negative_velocity: mx.array, guidance_scale: float) -> mx.array:
    """Classifier-free guidance: away from the negative prompt's velocity, by `guidance_scale` times the difference."""
    return negative_velocity + guidance_scale * (velocity - negative_velocity)
