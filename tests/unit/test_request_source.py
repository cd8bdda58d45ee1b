"""What is said of a request to change a picture before any work: what can't be, and a strength that keeps nothing."""

from __future__ import annotations

from typing import Any

import pytest

from flux2.denoise.schedule import told_beginning
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment
from flux2.planning.cautions import cautions
from flux2.planning.output_size import output_size
from flux2.request import GenerationRequest

MASK = Attachment(digest="0" * 64, name="mask.png", width=10, height=10)


def source(width: int = 512, height: int = 512) -> Attachment:
    return Attachment(digest="1" * 64, name="cat.png", width=width, height=height)


def request(**fields: Any) -> GenerationRequest:
    return GenerationRequest(prompt="a fox", **fields)


@pytest.mark.parametrize(
    ("fields", "remedy"),
    [
        ({"strength": 0.5}, "strength is for a picture to change, and there is none; give the source"),
        ({"mask": MASK}, "mask is for a picture to change"),
        ({"outpaint": (0, 16, 0, 0)}, "outpainting is for a picture to change"),
        ({"source": source()}, "give a strength, a mask or what to extend it by"),
        ({"source": source(), "strength": 0.0}, "above 0"),
        ({"source": source(), "strength": 1.01}, "up to 1"),
        ({"source": source(), "strength": float("nan")}, "up to 1"),
        ({"source": source(), "strength": 0.003, "steps": 4}, "choose 0.004 to 1"),
        ({"source": source(), "strength": 0.5, "steps": 600}, "choose 0.6 to 1"),
        ({"source": source(40, 40), "strength": 0.5}, "enlarge it 2 times"),
        ({"source": source(40, 40), "mask": MASK}, "enlarge it 2 times"),
        ({"source": source(9000, 70), "mask": MASK}, "crop it"),
        ({"source": source(), "outpaint": (0, 0, 0, 0)}, "at top, right, bottom and"),
        ({"source": source(), "outpaint": (0, -16, 0, 0)}, "at top, right, bottom and"),
        ({"source": source(), "outpaint": (0, 16, 0)}, "at top, right, bottom and"),
        ({"source": source(), "outpaint": (0, 3600, 0, 0)}, "there is room for 3584 at left and right together"),
        ({"source": source(), "outpaint": (2000, 0, 2000, 0)}, "and for 3584 at top and bottom"),
    ],
)
def test_what_can_not_be_done_is_refused_with_what_would_do(fields: dict[str, Any], remedy: str) -> None:
    with pytest.raises(RequestError) as raised:
        request(**fields).validated()
    assert remedy in str(raised.value) and str(raised.value).count(".") >= 1


@pytest.mark.parametrize(
    "fields",
    [
        {"source": source(), "strength": 0.004, "steps": 4},
        {"source": source(64, 64), "strength": 1.0},
        {"source": source(6000, 4000), "mask": MASK},
        {"source": source(), "mask": MASK, "outpaint": (0, 16, 0, 0), "strength": 0.9},
        {"source": source(4000, 64), "outpaint": (96, 0, 0, 96)},
    ],
)
def test_what_can_be_done_is_taken(fields: dict[str, Any]) -> None:
    assert request(**fields).validated()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (256, 256)),
        ({"width": 320}, (320, 256)),
        ({"source": source(70, 333), "strength": 0.5}, (80, 336)),
        ({"source": source(4000, 3000), "mask": MASK}, (1184, 880)),
        ({"source": source(4000, 3000), "mask": MASK, "height": 512}, (1184, 512)),
        ({"source": source(500, 300), "outpaint": (10, 0, 0, 100)}, (608, 320)),
        ({"width": 0}, (0, 256)),
    ],
)
def test_the_size_is_what_is_named_or_the_sources_or_the_models(
    fields: dict[str, Any], expected: tuple[int, int]
) -> None:
    assert output_size(request(**fields), None, (256, 256)) == expected


@pytest.mark.parametrize(("fields", "shows"), [
    ({"strength": 0.5}, False), ({"mask": MASK}, False), ({"outpaint": (0, 16, 0, 0)}, True),
    ({"mask": MASK, "source_as_reference": True}, True),
    ({"outpaint": (0, 16, 0, 0), "source_as_reference": False}, False),
])  # fmt: skip
def test_a_source_is_a_reference_for_extending_unless_said(fields: dict[str, Any], shows: bool) -> None:
    assert request(source=source(), **fields).shows_source is shows


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"strength": 0.9, "steps": 4}, "0.8 or less"),
        ({"strength": 1.0, "steps": 1}, "0.5 or less"),
        ({"strength": 0.99, "steps": 28}, "0.96 or less"),
        ({"strength": 0.8, "steps": 4}, None),
        ({"strength": 1.0, "steps": 4, "mask": MASK}, None),
        ({"strength": 1.0, "steps": 4, "outpaint": (0, 16, 0, 0)}, None),
    ],
)
def test_a_strength_that_keeps_nothing_is_said(fields: dict[str, Any], expected: str | None) -> None:
    asked = request(source=source(), guidance=1.0, width=512, height=512, **fields)
    said = list(cautions(asked, None, "distilled"))
    assert [sentence for sentence in said if expected and expected in sentence] == said
    assert bool(said) is (expected is not None)


@pytest.mark.parametrize(
    ("steps", "strength", "tokens", "expected"),
    [
        (4, 0.6, 4096, "4 steps, the last of 6, from noise level 0.95"),
        (1, 0.25, 4096, "1 step, the last of 4, from noise level 0.77"),
        (14, 0.5, 4096, "14 steps, the last of 28, from noise level 0.90"),
        (4, 1.0, 256, "4 steps, the last of 4, from noise level 1.00"),
    ],
)
def test_what_a_strength_comes_to_is_told(steps: int, strength: float, tokens: int, expected: str) -> None:
    assert told_beginning(steps, strength, tokens) == expected
