"""Sizes of references: which are refused, what is left of each, and of which size a picture after one becomes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flux2.architecture.catalog import MODELS
from flux2.architecture.reference_sizes import complaint, output_size, prepared_size
from flux2.inputs.attachment import Attachment
from flux2.planning import output_size as planned
from flux2.request import GenerationRequest


def request(width: int, height: int, **named: int) -> GenerationRequest:
    return GenerationRequest(prompt="-", references=(Attachment(digest="0" * 64, width=width, height=height),), **named)


@pytest.mark.parametrize(
    ("size", "scaled", "cropped", "tokens"),
    [
        ((64, 64), (64, 64), (64, 64), 16),
        ((70, 333), (70, 333), (64, 320), 80),
        ((1024, 1024), (1024, 1024), (1024, 1024), 4096),
        ((1040, 1040), (1023, 1023), (1008, 1008), 3969),  # truncated, as diffusers does
        ((4000, 500), (2896, 362), (2896, 352), 3982),
    ],
)
def test_what_is_left(size: tuple[int, int], scaled: tuple[int, int], cropped: tuple[int, int], tokens: int) -> None:
    found = prepared_size(*size)
    assert (found.scaled, found.cropped, found.tokens) == (scaled, cropped, tokens)
    left, top, right, bottom = found.box
    assert (right - left, bottom - top) == cropped
    assert 0 <= scaled[0] - cropped[0] - 2 * left <= 1  # about the centre
    assert 0 <= scaled[1] - cropped[1] - 2 * top <= 1


def test_another_area() -> None:
    assert prepared_size(1024, 1024, 512 * 512).cropped == (512, 512)
    assert prepared_size(1500, 1500, 2024 * 2024).cropped == (1488, 1488)
    assert prepared_size(512, 64, 64 * 64).cropped == (176, 16)  # a token's side is the least


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [
        (64, 64, None),
        (512, 64, None),
        (513, 64, "crop the longer one to 512"),
        (63, 100, "enlarge it 2 times"),
        (100, 7, "enlarge it 10 times"),
        (0, 0, "64 per side are the least"),
    ],
)
def test_what_is_refused(width: int, height: int, said: str | None) -> None:
    found = complaint("fox.png", width, height)
    assert found is None if said is None else found is not None and said in found and "fox.png" in found


def test_a_picture_after_a_reference_has_its_shape() -> None:
    assert output_size(1040, 1040) == (1024, 1024)  # no truncation here
    for model, size, expected in (
        ("klein-4b", (3000, 2000), (1248, 832)),
        ("klein-4b", (70, 333), (64, 320)),
        ("pocket", (3000, 2000), (320, 192)),
        ("pocket", (100, 90), (256, 256)),
    ):
        card = MODELS[model]
        assert planned.output_size(request(*size), card, card.size) == expected
        assert planned.output_size(replace(request(*size), width=128), card, card.size) == (128, expected[1])
    assert planned.output_size(GenerationRequest(prompt="-"), MODELS["dev"], (1024, 1024)) == (1024, 1024)


def test_a_model_of_few_sizes_gets_references_of_these() -> None:
    assert planned.reference_pixels(request(900, 900), MODELS["pocket"]) == 256 * 256
    assert planned.reference_pixels(request(900, 900, reference_pixels=5000), MODELS["pocket"]) == 5000
    assert planned.reference_pixels(request(900, 900), MODELS["klein-4b"]) is None
    assert planned.reference_pixels(request(900, 900), None) is None
