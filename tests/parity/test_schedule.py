"""flux2.denoise.schedule against mu and sigmas that diffusers computed for many sizes and step counts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import SIGMA_LIMIT
from recordings import ALL_RUNS, recorded_schedules, recording

from flux2.denoise.schedule import SchedulerConfig, empirical_mu, noise_levels


def scheduler_config(checkpoint: Path) -> SchedulerConfig:
    return SchedulerConfig.from_dict(json.loads((checkpoint / "scheduler" / "scheduler_config.json").read_text()))


@pytest.mark.parametrize("row", recorded_schedules(), ids=lambda row: f"{row['image_tokens']}x{row['steps']}")
def test_mu_and_sigmas_are_diffusers(row: dict[str, Any]) -> None:
    config = scheduler_config(recording(ALL_RUNS[0]).checkpoint)
    assert empirical_mu(row["image_tokens"], row["steps"]) == pytest.approx(row["mu"], rel=1e-12)
    sigmas = noise_levels(row["steps"], row["image_tokens"], config)
    assert sigmas.dtype == np.float32
    np.testing.assert_allclose(sigmas, row["sigmas"], rtol=0, atol=SIGMA_LIMIT)


@pytest.mark.parametrize("name", ALL_RUNS)
def test_a_runs_sigmas_are_the_pipelines(name: str) -> None:
    run = recording(name)
    image_tokens = run["noise"].shape[2] * run["noise"].shape[3]
    sigmas = noise_levels(run.arguments["num_inference_steps"], image_tokens, scheduler_config(run.checkpoint))
    np.testing.assert_allclose(sigmas, run["sigmas"], rtol=0, atol=SIGMA_LIMIT)


def test_the_table_covers_both_sides_of_the_formulas_edge() -> None:
    tokens = {row["image_tokens"] for row in recorded_schedules()}
    assert {4300, 4301} <= tokens
    assert empirical_mu(4300, 4) != pytest.approx(empirical_mu(4301, 4), abs=0.1)
