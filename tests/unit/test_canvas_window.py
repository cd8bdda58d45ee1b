"""The part of a canvas that is worked on: all that is painted lies in it, and what is put back lies where it was."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from flux2.architecture.canvas_sizes import working_size
from flux2.architecture.reference_sizes import Size
from flux2.canvas.mask_drawing import Box
from flux2.canvas.window import MOST_ENLARGED, Pixels, Window, mask_window, middle_window, whole_window


def noise(width: int, height: int) -> Pixels:
    pixels: Pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3)).astype(np.uint8)
    return pixels


def test_a_canvas_that_needs_padding_alone_is_not_resized() -> None:
    canvas = noise(70, 333)
    window = whole_window((70, 333), working_size((70, 333), None, 4096))
    assert window == Window(0, 0, 80, 336, (80, 336))
    cut = window.cut(canvas)
    assert cut.shape == (336, 80, 3)
    assert np.array_equal(cut[:333, :70], canvas), "as it is, at its place"
    assert (cut[:333, 70:] == canvas[:, 69:]).all() and (cut[333:, :70] == canvas[332:]).all(), "its edge, repeated"
    assert np.array_equal(window.put_back(Image.fromarray(cut), canvas), canvas)


@pytest.mark.parametrize("canvas", [(4000, 3000), (1500, 1100), (1081, 1081), (333, 5000), (2048, 2047)])
def test_a_large_canvas_is_worked_on_whole_at_one_scale(canvas: Size) -> None:
    window = whole_window(canvas, working_size(canvas, None, 4096))
    assert window.left == window.top == 0
    assert window.width >= canvas[0] and window.height >= canvas[1]
    assert window.working[0] / window.width == pytest.approx(window.working[1] / window.height, rel=0.01)


def test_a_canvas_of_another_shape_lies_in_the_middle() -> None:
    window = whole_window((512, 256), (512, 512))
    assert window == Window(0, -128, 512, 512, (512, 512))
    painted = noise(512, 512)
    assert np.array_equal(window.put_back(Image.fromarray(painted), noise(512, 256)), painted[128:384])


@pytest.mark.parametrize(
    ("painted", "expected"),
    [
        ((500, 500, 600, 560), Window(422, 402, 256, 256, (1024, 1024))),  # enlarged four times, no more
        ((500, 500, 700, 560), Window(436, 366, 328, 328, (1024, 1024))),
        ((0, 0, 300, 30), Window(0, 0, 364, 364, (1024, 1024))),  # no context beyond the edges
        ((900, 1000, 1024, 1024), Window(768, 768, 256, 256, (1024, 1024))),
        ((100, 100, 800, 800), Window(0, 0, 1024, 1024, (1024, 1024))),  # more than half
        ((0, 500, 1024, 510), Window(0, 0, 1024, 1024, (1024, 1024))),  # as wide as the canvas
    ],
)
def test_a_small_mask_is_worked_on_with_its_surroundings(painted: Box, expected: Window) -> None:
    assert mask_window((1024, 1024), painted, (1024, 1024)) == expected


@pytest.mark.parametrize("seed", range(40))
def test_a_window_holds_all_that_is_painted_with_room_around_it(seed: int) -> None:
    random = np.random.default_rng(seed)
    canvas = (int(random.integers(64, 3000)), int(random.integers(64, 3000)))
    left, right = sorted(random.choice(canvas[0] + 1, 2, replace=False).tolist())
    top, bottom = sorted(random.choice(canvas[1] + 1, 2, replace=False).tolist())
    for working in (working_size(canvas, None, 4096), (512, 256), (64, 1024)):
        window = mask_window(canvas, (left, top, right, bottom), working)
        assert window.left <= left and window.top <= top
        assert window.left + window.width >= right and window.top + window.height >= bottom
        if not (window.width >= canvas[0] or window.height >= canvas[1]):
            assert window.left >= 0 and window.left + window.width <= canvas[0]
            assert 2 * window.width * window.height <= canvas[0] * canvas[1]
            assert window.working[0] / window.width <= MOST_ENLARGED
            for near, far in ((window.left, left), (window.top, top)):
                assert near == 0 or far - near >= 31


def test_what_is_put_back_lies_where_it_was() -> None:
    canvas = np.zeros((300, 400, 3), np.uint8)
    window = Window(100, 50, 64, 32, (128, 64))
    marked = canvas.copy()
    marked[60:70, 110:130] = 200
    put_back = window.put_back(Image.fromarray(window.cut(marked)), canvas)
    assert np.abs(put_back.astype(int)[62:68, 112:128] - 200).max() < 9, "but for what resizing does"
    outside = put_back.copy()
    outside[50:82, 100:164] = 0
    assert not outside.any(), "nothing but the window changes"


def test_the_middle_is_cut_out_where_another_shape_is_asked_for() -> None:
    window = middle_window((400, 200), (256, 256))
    assert window == Window(100, 0, 200, 200, (256, 256))
    assert window.cut(noise(400, 200)).shape == (256, 256, 3)
