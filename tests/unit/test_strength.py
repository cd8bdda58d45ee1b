"""Which steps a strength runs: diffusers' for diffusers' arguments, and exactly those that a request asks for."""

from __future__ import annotations

import pytest

from flux2.architecture.strength import as_run, scheduled, strongest_that_keeps, weakest_that_runs


def diffusers_start(steps: int, strength: float) -> int:
    """First index that `Flux2KleinInpaintPipeline.get_timesteps` leaves in a schedule of so many steps."""
    return int(max(steps - min(steps * strength, steps), 0))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 8, 10, 20, 28, 30, 50])
def test_pythons_arguments_run_the_steps_that_diffusers_runs(steps: int) -> None:
    for thousandths in range(1, 1001):
        strength = thousandths / 1000
        runs, as_asked = as_run(steps, strength)
        part = scheduled(runs, as_asked)
        assert (part.total, part.first) == (steps, diffusers_start(steps, strength))


@pytest.mark.parametrize(
    ("steps", "strength", "total", "first"),
    [
        (4, 1.0, 4, 0),
        (4, 0.6, 6, 2),
        (4, 0.8, 5, 1),
        (4, 0.81, 4, 0),
        (4, 0.25, 16, 12),
        (4, 0.1, 40, 36),
        (1, 0.75, 1, 0),
        (28, 0.56, 50, 22),
        (3, 0.1, 30, 27),
        (50, 0.3, 166, 116),
    ],
)
def test_a_request_runs_all_of_its_steps(steps: int, strength: float, total: int, first: int) -> None:
    part = scheduled(steps, strength)
    assert (part.total, part.first, part.runs) == (total, first, steps)


def test_a_strength_is_kept_as_it_was_typed_where_it_means_the_same() -> None:
    assert as_run(28, 0.6) == (17, 0.6)
    assert as_run(4, 0.1) == (1, 0.25), "of 4 steps it is the last, as 0.25 has it"
    assert as_run(4, 0.0) == (0, 0.0), "runs none"


@pytest.mark.parametrize("steps", [1, 2, 4, 8, 28, 50])
def test_the_limits_that_a_sentence_names_hold(steps: int) -> None:
    strongest = strongest_that_keeps(steps)
    assert scheduled(steps, strongest).first > 0
    assert scheduled(steps, round(strongest + 0.01, 2)).first == 0
    weakest = weakest_that_runs(steps, 1000)
    assert (
        scheduled(steps, weakest).total <= 1000 < scheduled(steps, weakest - 0.001 if weakest > 0.001 else 1e-4).total
    )
