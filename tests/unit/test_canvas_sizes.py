"""Sizes of canvas and working picture, and the sentences about those that can't be."""

from __future__ import annotations

import math
import random

import pytest

from flux2.architecture.canvas_sizes import MOST_PIXELS, Margins, canvas_complaint, canvas_size, working_size
from flux2.architecture.reference_sizes import Size
from flux2.canvas.window import is_of_shape

SOME = [(random.Random(seed).randint(64, 9000), random.Random(-seed).randint(64, 9000)) for seed in range(60)]


@pytest.mark.parametrize(
    ("source", "outpaint", "expected"),
    [
        ((1024, 1024), None, (1024, 1024)),
        ((256, 256), None, (256, 256)),
        ((70, 333), None, (80, 336)),
        ((1023, 1000), None, (1024, 1008)),
        ((4000, 3000), None, (1184, 880)),
        ((3000, 4000), None, (880, 1184)),
        ((9000, 100), None, (5760, 64)),
        ((3000, 70), None, (3008, 80)),
        ((1024, 1024), (0, 128, 0, 128), (1280, 1024)),
        ((1000, 700), (0, 0, 50, 0), (1008, 752)),
        ((3000, 3000), (0, 500, 0, 0), (3504, 3008)),
    ],
)
def test_what_the_model_works_on(source: Size, outpaint: Margins | None, expected: Size) -> None:
    found = working_size(source, outpaint, 4096)
    assert found == expected


@pytest.mark.parametrize("source", SOME)
def test_a_working_size_has_the_sources_shape_but_for_padding(source: Size) -> None:
    working = working_size(source, None, 4096)
    assert all(side % 16 == 0 and side >= 64 for side in working)
    assert is_of_shape(source, working)
    if min(working) > 64:
        assert math.prod(working) <= MOST_PIXELS + 16 * max(working) + 256 and max(working) <= 4096


def test_a_long_source_stays_as_wide_as_models_need_where_few_pixels_are_worked_on() -> None:
    assert working_size((1100, 64), None, 4096, 256 * 256) == (1104, 64)


def test_a_canvas_is_the_source_and_its_margins() -> None:
    assert canvas_size((100, 200), (1, 20, 300, 4000)) == (4120, 501)
    assert canvas_size((100, 200), None) == (100, 200)


@pytest.mark.parametrize(
    ("source", "outpaint", "remedy"),
    [
        ((63, 500), None, "enlarge it 2 times"),
        ((10, 10), (0, 500, 0, 500), "enlarge it 7 times"),
        ((9000, 100), None, "crop it"),
        ((1024, 1024), (0, 3073, 0, 0), "room for 3072 at left and right together"),
        ((2000, 1024), (3073, 0, 0, 0), "for 3072 at top and bottom"),
        ((5000, 1024), (0, 16, 0, 0), "make it smaller first"),
    ],
)
def test_what_can_not_be_is_said_with_what_would_do(source: Size, outpaint: Margins | None, remedy: str) -> None:
    complaint = canvas_complaint(source, outpaint, 64, 4096)
    assert complaint and remedy in complaint and complaint.endswith(".")


@pytest.mark.parametrize(
    ("source", "outpaint"),
    [
        ((64, 64), None),
        ((5000, 5000), None),
        ((1024, 1024), (0, 3072, 0, 0)),
        ((4000, 64), None),
        ((64, 64), (1, 0, 0, 0)),
    ],
)
def test_what_can_be_is_not_complained_of(source: Size, outpaint: Margins | None) -> None:
    assert canvas_complaint(source, outpaint, 64, 4096) is None
