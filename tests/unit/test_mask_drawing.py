"""Masks from shapes: what each pixel becomes, against its definition spelled out pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.canvas.mask_drawing import (
    KEPT,
    Mask,
    blank,
    covered,
    ellipse,
    feather,
    grow,
    invert,
    painted_box,
    rectangle,
)


def some_mask(height: int = 13, width: int = 17) -> Mask:
    random = np.random.default_rng(5)
    values: Mask = random.integers(0, 256, (height, width)).astype(np.uint8) * (random.random((height, width)) < 0.1)
    return values


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((2, 1, 5, 4), (2, 1, 5, 4)),
        ((-3, -3, 2, 2), (0, 0, 2, 2)),
        ((5, 4, 99, 99), (5, 4, 8, 6)),
        ((-9, -9, 99, 99), (0, 0, 8, 6)),
        ((3, 3, 3, 5), None),
        ((5, 5, 2, 2), None),
        ((8, 0, 12, 6), None),
        ((-5, 0, 0, 6), None),
        ((0, -5, 8, -1), None),
    ],
)
def test_a_rectangle_is_cut_at_the_edges(box: tuple[int, int, int, int], expected: tuple[int, ...] | None) -> None:
    empty = blank(8, 6)
    drawn = rectangle(empty, box)
    assert painted_box(drawn) == expected
    assert not empty.any(), "the mask it was drawn on is as it was"
    if expected:
        left, top, right, bottom = expected
        assert covered(drawn) == pytest.approx((right - left) * (bottom - top) / 48)


def test_what_is_drawn_can_be_erased() -> None:
    ring = rectangle(rectangle(blank(8, 8), (1, 1, 7, 7)), (3, 3, 5, 5), KEPT)
    assert ring[2, 2] == 255 and ring[3, 3] == 0


@pytest.mark.parametrize(
    "box", [(1, 2, 14, 9), (-4, -4, 6, 6), (3, 3, 4, 4), (0, 0, 17, 13), (5, 5, 5, 9), (9, 9, 3, 3)]
)
def test_an_ellipse_has_the_pixels_whose_centres_lie_in_it(box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box
    drawn = ellipse(blank(17, 13), box)
    for y in range(13):
        for x in range(17):
            inside = (
                right > left
                and bottom > top
                and ((x + 0.5 - (left + right) / 2) / ((right - left) / 2)) ** 2
                + ((y + 0.5 - (top + bottom) / 2) / ((bottom - top) / 2)) ** 2
                <= 1
            )
            assert drawn[y, x] == 255 * inside


@pytest.mark.parametrize("pixels", [0, 1, 2, 3, 5, 12, 13, 16, 17, 40])
def test_growing_takes_the_greatest_of_all_within_reach(pixels: int) -> None:
    mask = some_mask()
    grown = grow(mask, pixels)
    for y in range(13):
        for x in range(17):
            near = mask[max(0, y - pixels) : y + pixels + 1, max(0, x - pixels) : x + pixels + 1]
            assert grown[y, x] == near.max()


def test_shrinking_is_growing_what_is_kept() -> None:
    square = rectangle(blank(20, 20), (5, 5, 15, 15))
    assert painted_box(grow(square, -2)) == (7, 7, 13, 13)
    assert np.array_equal(grow(grow(square, 3), -3), square)
    assert painted_box(grow(square, -9)) is None


def test_feathering_softens_the_edge_alone_and_on_either_side() -> None:
    half = rectangle(blank(64, 8), (32, 0, 64, 8))
    soft = feather(half, 16)
    row = soft[4].astype(int)
    assert (np.diff(row) >= 0).all(), "it rises from the kept side to the other"
    assert row[31] + row[32] == pytest.approx(255, abs=2), "the edge stays where it was"
    assert not row[:20].any() and (row[44:] == 255).all(), "what is far from it is as it was, to the last bit"
    assert np.array_equal(feather(half, 0), half)


def test_inverting_twice_changes_nothing() -> None:
    mask = some_mask()
    assert np.array_equal(invert(invert(mask)), mask)
    assert invert(mask).dtype == np.uint8
    assert covered(mask) + covered(invert(mask)) == pytest.approx(1)


def test_a_box_has_all_that_is_painted_however_little() -> None:
    mask = blank(30, 20)
    assert painted_box(mask) is None
    mask[7, 11] = 1
    assert painted_box(mask) == (11, 7, 12, 8)
