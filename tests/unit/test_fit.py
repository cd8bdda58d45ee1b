"""What `auto` takes, what is offered in place of what does not fit, and when the transformer makes room."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flux2.inputs.checks import AUTO, QUANTIZATIONS
from flux2.planning.budget import Budget
from flux2.planning.fit import alternatives, best_fit, facts_of, machines, weigh
from flux2.planning.planner import MemoryPlan, plan
from flux2.planning.run_facts import Engine, RunFacts
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks

GIB = 2**30
MAC = Engine()
REQUEST = GenerationRequest(prompt="a fox", model="klein-9b")
ANYTHING = replace(REQUEST, quantization=AUTO, residency=AUTO)


def room(limit: float, available: float | None = None) -> Budget:
    """GiB."""
    return Budget(limit=int(limit * GIB), available=int((limit if available is None else available) * GIB))


def plan_of(peak: int, quantization: str) -> MemoryPlan:
    return MemoryPlan(RunFacts(quantization=quantization), 0, 0, 0, {"load": 1, "decode": peak})


@pytest.mark.parametrize(
    ("peaks", "best"),
    [((400, 300, 200), "bf16"), ((600, 451, 200), "int4"), ((2000, 900, 500), "int4"), ((2000, 2000, 2000), None)],
)
def test_the_best_that_fits_is_taken_else_the_smallest_that_is_tight(peaks: tuple[int, ...], best: str | None) -> None:
    plans = [plan_of(peak, level) for peak, level in zip(peaks, ("bf16", "qint8", "int4"), strict=True)]
    found = best_fit(plans, Budget(limit=1000, available=500))
    assert (found and found.facts.quantization) == best


@pytest.mark.parametrize(
    ("limit", "quantization", "residency"),
    [
        (64, "bf16", "resident"),
        (16, "qint8", "resident"),
        (10, "int6", "resident"),
        (8, "int5", "resident"),
        (7, "int4-mixed", "resident"),
        (6.75, "int4", "resident"),
        (5, "bf16", "streamed"),
    ],
)
def test_auto_takes_the_best_quality_that_fits_and_streams_only_where_nothing_else_does(
    limit: float, quantization: str, residency: str
) -> None:
    fit = weigh(ANYTHING, find_networks("klein-9b"), MAC, room(limit))
    assert (fit.request.quantization, fit.request.residency) == (quantization, residency)
    assert (fit.plan.facts.quantization, fit.plan.facts.residency) == (quantization, residency)
    assert fit.verdict == "fits"


def test_what_the_user_fixed_stays() -> None:
    networks = find_networks("klein-9b")
    streamed = weigh(replace(ANYTHING, residency="streamed"), networks, MAC, room(64))
    assert (streamed.request.quantization, streamed.request.residency) == ("bf16", "streamed")
    level = weigh(replace(ANYTHING, quantization="qint8"), networks, MAC, room(8))
    assert (level.request.quantization, level.request.residency) == ("qint8", "streamed")
    fixed = weigh(REQUEST, networks, MAC, room(1))
    assert fixed.request == REQUEST
    assert fixed.verdict == "does not fit"


def test_auto_takes_the_smallest_where_nothing_fits() -> None:
    networks = find_networks("klein-9b")
    fit = weigh(ANYTHING, networks, MAC, room(0.5))
    assert fit.verdict == "does not fit"
    assert fit.plan.peak == min(
        found.plan.peak for found in alternatives(weigh(REQUEST, networks, MAC, room(99)), networks)
    )


def test_other_programs_count() -> None:
    networks = find_networks("klein-9b")
    alone, crowded = (weigh(ANYTHING, networks, MAC, room(64, available)) for available in (64, 10))
    assert (alone.request.quantization, crowded.request.quantization) == ("bf16", "int6")


def test_weights_that_stay_though_it_is_tight_go_before_streaming_in_every_step() -> None:
    networks = find_networks("klein-9b")
    fit = weigh(ANYTHING, networks, MAC, room(64, 4))
    assert (fit.request.quantization, fit.request.residency, fit.verdict) == ("int4", "resident", "tight")
    assert fit.reason == "what asks least of other programs"
    streamed = weigh(replace(ANYTHING, residency="streamed"), networks, MAC, room(64, 4))
    assert (streamed.request.quantization, streamed.verdict) == ("bf16", "fits")


def test_alternatives_are_what_fits_at_the_size_asked_for() -> None:
    networks = find_networks("klein-9b")
    fit = weigh(REQUEST, networks, MAC, room(6.9))
    found = [(other.plan.facts.quantization, other.plan.facts.residency) for other in alternatives(fit, networks)]
    smallest = [("int4-mixed", "resident"), ("int4", "resident")]
    assert found == [*smallest, *((level, "streamed") for level in QUANTIZATIONS)]
    assert all(not other.smaller and other.verdict != "does not fit" for other in alternatives(fit, networks))
    first = alternatives(fit, networks)[0].request
    assert first == replace(REQUEST, quantization="int4-mixed")


def test_alternatives_are_smaller_pictures_where_nothing_else_fits() -> None:
    networks = find_networks("klein-9b")
    large = replace(REQUEST, width=4096, height=2048)
    found = alternatives(weigh(large, networks, MAC, room(4)), networks)
    assert found
    for other in found:
        assert other.smaller
        assert (other.request.width, other.request.height) == (other.plan.facts.width, other.plan.facts.height)
        assert other.request.width == 2 * (other.request.height or 0) < 4096
    assert alternatives(weigh(large, networks, MAC, room(0.1)), networks) == []


def test_the_sentence_names_model_level_size_and_need() -> None:
    fit = weigh(replace(REQUEST, residency="streamed"), find_networks("klein-9b"), MAC, room(2))
    assert fit.name == "klein-9b bf16 streamed at 1024×1024"
    assert fit.need.endswith("GiB (denoise) of the 2.00 GiB that there are")


def test_defaults_are_the_models() -> None:
    base = facts_of(replace(REQUEST, model="klein-base-9b"), find_networks("klein-base-9b"), MAC)
    assert (base.width, base.height, base.guided) == (1024, 1024, True)
    pocket = facts_of(GenerationRequest(prompt="a fox", guidance=3.0), find_networks("pocket"), MAC)
    assert (pocket.width, pocket.guided) == (256, False)


def test_the_transformer_is_let_go_before_the_decode_only_where_that_helps() -> None:
    networks = find_networks("klein-4b")
    setting = RunFacts(quantization="int4", width=2048, height=2048)
    kept = plan(networks, setting)
    between = (kept.peaks["denoise"] + kept.peaks["decode"]) // 2 if kept.phase == "decode" else 0
    roomy, tiny = (Budget(limit=limit, available=limit) for limit in (4 * kept.peak, kept.weights // 2))
    assert not plan(networks, setting, roomy).drops_transformer
    assert not plan(networks, setting, tiny).drops_transformer  # nothing would be gained
    if between:
        found = plan(networks, setting, Budget(limit=between, available=4 * kept.peak))
        assert found.drops_transformer
        assert found.peaks == {**kept.peaks, "decode": kept.peaks["decode"] - kept.weights}


def test_one_picture_alone_never_keeps_the_transformer() -> None:
    networks = find_networks("klein-4b")
    kept, alone = (plan(networks, RunFacts(keep_transformer=keep)) for keep in (True, False))
    assert (kept.drops_transformer, alone.drops_transformer) == (False, True)
    assert kept.peaks["decode"] - alone.peaks["decode"] == kept.weights


def test_larger_machines_take_what_smaller_ones_do() -> None:
    networks = find_networks("klein-4b")
    assert machines(networks, RunFacts(quantization="int4")) == [8, 16, 24, 32, 48, 64, 96, 128]
    assert machines(networks, RunFacts()) == [16, 24, 32, 48, 64, 96, 128]
