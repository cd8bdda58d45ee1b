"""What references cost in time: the growth of a step that the arithmetic of the networks gives."""

from __future__ import annotations

from typing import Any

import pytest

from flux2.planning.request_growth import request_growth
from tui.state.run_times import RunTimes

LARGE = {"digest": "0" * 64, "name": "fox.png", "width": 1024, "height": 1024}
SMALL = {**LARGE, "width": 512, "height": 512}
GROWTH = {
    "klein-4b": (2.20, 3.70, 5.50, 7.59, 26.4),
    "klein-9b": (2.14, 3.51, 5.11, 6.95, 22.9),
    "dev": (2.06, 3.29, 4.68, 6.23, 19.0),
}
"""Times that a step takes with 1, 2, 3, 4 and 10 references of 1024×1024, 512 text tokens and 1024×1024 pixels."""


def request(model: str, *references: dict[str, Any], **named: Any) -> dict[str, Any]:
    known = {"model": model, "width": 1024, "height": 1024, "steps": 4, "quantization": "int4", "residency": "resident"}
    return {**known, "prompt": "-", "references": list(references), **named}


@pytest.mark.parametrize(("model", "growth"), GROWTH.items())
def test_growth(model: str, growth: tuple[float, ...]) -> None:
    found = [request_growth(request(model, *[LARGE] * count)) for count in (1, 2, 3, 4, 10)]
    assert found == pytest.approx(growth, rel=0.01)
    assert request_growth(request(model)) == 1.0


def test_smaller_and_cached_references_cost_less() -> None:
    assert request_growth(request("klein-4b", SMALL)) == pytest.approx(1.26, abs=0.02)
    assert request_growth(request("klein-4b", LARGE, reference_pixels=512 * 512)) == pytest.approx(1.26, abs=0.02)
    assert 1 < request_growth(request("klein-9b-kv", LARGE)) < 1.3
    assert request_growth(request("somebody/else", LARGE)) == 1.0
    assert request_growth(request("klein-4b", {"digest": 3})) == 1.0  # makes no sense


def test_a_pace_is_carried_over_to_other_references() -> None:
    times = RunTimes()
    times.learn(request("klein-4b"), seconds=15.0, denoising=10.0)
    assert times.estimate(request("klein-4b")) == pytest.approx(15.0)
    assert times.estimate(request("klein-4b", LARGE)) == pytest.approx(5 + 10 * 2.20, rel=0.01)
    times.learn(request("klein-4b", LARGE, LARGE), seconds=42.0, denoising=37.0)
    assert times.estimate(request("klein-4b")) == pytest.approx(15.0, rel=0.01)
