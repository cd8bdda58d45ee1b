"""The canvas that a source is extended on: the source where it belongs, noise around it, and a mask with a ramp."""

from __future__ import annotations

import numpy as np
import pytest

from flux2.canvas.mask_drawing import blank, rectangle
from flux2.canvas.outpainting import RAMP, extended, extension_mask

SOURCE = np.random.default_rng(1).integers(0, 256, (150, 200, 3)).astype(np.uint8)


def test_the_source_is_in_its_place_and_noise_around_it() -> None:
    canvas = extended(SOURCE, (10, 200, 30, 40), seed=7)
    assert canvas.shape == (190, 440, 3)
    assert np.array_equal(canvas[10:160, 40:240], SOURCE)
    strip = canvas[:, 240:].astype(float)
    assert strip.mean() == pytest.approx(128, abs=1) and strip.std() == pytest.approx(32, abs=1)
    assert np.array_equal(canvas, extended(SOURCE, (10, 200, 30, 40), seed=7)), "a run that is taken up goes on with it"
    assert not np.array_equal(canvas, extended(SOURCE, (10, 200, 30, 40), seed=8))


def test_strips_are_repainted_and_the_source_is_kept_but_for_a_ramp() -> None:
    mask = extension_mask((200, 150), (0, 64, 0, 0))
    assert mask.shape == (150, 264)
    assert (mask[:, 200:] == 255).all()
    assert not mask[:, : 200 - RAMP].any()
    ramp = mask[75, 200 - RAMP : 200].astype(int)
    assert (np.diff(ramp) > 0).all() and 0 < ramp[0] < 10 and 245 < ramp[-1] < 255
    assert np.ptp(np.diff(ramp)) <= 1, "it is a straight line"


@pytest.mark.parametrize(
    ("margins", "kept"),
    [
        ((16, 0, 0, 0), (0, 32, 200, 150)),
        ((0, 16, 0, 0), (0, 0, 168, 150)),
        ((0, 0, 16, 0), (0, 0, 200, 118)),
        ((0, 0, 0, 16), (32, 0, 200, 150)),
        ((16, 16, 16, 16), (32, 32, 168, 118)),
    ],
)
def test_ramps_are_beside_the_strips_alone(margins: tuple[int, int, int, int], kept: tuple[int, int, int, int]) -> None:
    top, _, _, left = margins
    inner = extension_mask((200, 150), margins)[top : top + 150, left : left + 200]
    rows, columns = np.flatnonzero((inner == 0).any(axis=1)), np.flatnonzero((inner == 0).any(axis=0))
    assert (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1) == kept


def test_of_a_small_source_half_is_kept_all_the_same() -> None:
    mask = extension_mask((64, 64), (64, 64, 64, 64))[64:128, 64:128]
    assert (mask[16:48, 16:48] == 0).all() and mask[15, 32] > 0


def test_what_is_repainted_within_is_so_too() -> None:
    within = rectangle(blank(200, 150), (50, 50, 60, 60))
    mask = extension_mask((200, 150), (0, 0, 0, 64), within)
    assert (mask[50:60, 114:124] == 255).all() and mask[100, 200] == 0
