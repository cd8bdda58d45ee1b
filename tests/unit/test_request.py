"""What is asked for: checked in a sentence, and the same after a journey."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux2.errors import RequestError
from flux2.inputs.checks import MAX_SEED, MAX_SIZE, MIN_SIZE, QUANTIZATIONS, SIZE_MULTIPLE
from flux2.request import GenerationRequest

_sides = st.integers(MIN_SIZE // SIZE_MULTIPLE, MAX_SIZE // SIZE_MULTIPLE).map(lambda tokens: tokens * SIZE_MULTIPLE)
_requests = st.builds(
    GenerationRequest,
    prompt=st.text(min_size=1).filter(str.strip),
    negative_prompt=st.none() | st.text(),
    model=st.text(min_size=1),
    quantization=st.sampled_from(QUANTIZATIONS),
    width=st.none() | _sides,
    height=st.none() | _sides,
    steps=st.none() | st.integers(1, 1000),
    guidance=st.none() | st.floats(0, 100),
    seed=st.none() | st.integers(0, MAX_SEED),
    output=st.none() | st.text(),
)


@given(_requests)
def test_valid_requests_pass_and_travel(request: GenerationRequest) -> None:
    assert request.validated() is request
    assert GenerationRequest.from_dict(json.loads(json.dumps(request.to_dict()))) == request


@given(_requests)
def test_a_seed_is_chosen_once(request: GenerationRequest) -> None:
    seeded = request.with_seed()
    assert seeded.validated().with_seed() is seeded
    assert request.seed is None or seeded is request


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": ""}, "prompt is empty"),
        ({"prompt": " \n\t"}, "prompt is empty"),
        ({"quantization": "int3"}, "'int3' is unknown; choose one of bf16, qint8, .*int4"),
        ({"width": 0}, "width 0 is out of range; choose 64 to 4096"),
        ({"width": -64}, "width -64 is out of range"),
        ({"height": 4112}, "height 4112 is out of range"),
        ({"width": 65}, "width 65 is not a multiple of 16; choose 64 or 80"),
        ({"height": 4095}, "height 4095 is not a multiple of 16; choose 4080 or 4096"),
        ({"steps": 0}, "0 steps are out of range"),
        ({"steps": 1001}, "1001 steps are out of range"),
        ({"guidance": -0.1}, "Guidance -0.1 is out of range"),
        ({"guidance": float("nan")}, "Guidance nan is out of range"),
        ({"guidance": float("inf")}, "Guidance inf is out of range"),
        ({"seed": -1}, "Seed -1 is out of range"),
        ({"seed": 2**32}, "Seed 4294967296 is out of range; choose 0 to 4294967295"),
    ],
)
def test_impossible_requests_are_refused_in_a_sentence(change: dict[str, Any], said: str) -> None:
    request = GenerationRequest(**{"prompt": "fox", **change})
    with pytest.raises(RequestError, match=said) as told:
        request.validated()
    assert str(told.value).endswith(".")


@given(st.integers(MIN_SIZE, MAX_SIZE).filter(lambda side: side % SIZE_MULTIPLE))
def test_the_sizes_offered_instead_are_allowed(side: int) -> None:
    with pytest.raises(RequestError) as told:
        GenerationRequest(prompt="fox", width=side).validated()
    for offered in str(told.value).rstrip(".").partition("choose ")[2].split(" or "):
        GenerationRequest(prompt="fox", width=int(offered)).validated()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({}, "no prompt"),
        ({"prompt": None}, "no prompt"),
        ({"prompt": 5}, "no prompt"),
        ({"prompt": "fox", "width": "256"}, "width is '256', not int; send one of that type"),
        ({"prompt": "fox", "width": 256.0}, "width is 256.0"),
        ({"prompt": "fox", "seed": True}, "seed is True"),
        ({"prompt": "fox", "guidance": "1"}, "guidance is '1'"),
        ({"prompt": "fox", "model": ["pocket"]}, "model is"),
        ({"prompt": "fox", "output": "x", "negative_prompt": 7 * ["long" * 1000]}, "negative_prompt is"),
    ],
)
def test_json_of_the_wrong_types_is_refused(data: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestError, match=said) as told:
        GenerationRequest.from_dict(data)
    assert len(str(told.value)) < 300


def test_null_means_default_and_unknown_fields_are_ignored() -> None:
    data = {"prompt": "fox", "model": None, "quantization": None, "seed": None, "sparkle": 1}
    assert GenerationRequest.from_dict(data) == GenerationRequest(prompt="fox")
