from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from flux2.backend.mlx import mx
from flux2.models.rope import (
    axial_rotation,
    image_positions,
    rotate_halves,
    rotate_pairs,
    sequence_rotation,
    text_positions,
)

AXES, THETA = (4, 8, 6, 2), 2000.0


def test_text_varies_along_its_own_axis() -> None:
    assert text_positions(3).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 2]]


def test_image_tokens_go_row_by_row() -> None:
    assert image_positions(2, 3)[:, 1:3].tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert not image_positions(2, 3)[:, [0, 3]].any()


def test_wide_and_tall_pictures_of_as_many_tokens_differ() -> None:
    wide, tall = (axial_rotation(image_positions(*size), AXES, THETA) for size in ((2, 8), (8, 2)))
    assert not mx.allclose(wide.cos, tall.cos)


@pytest.mark.parametrize("axis", range(4))
def test_each_axis_turns_its_own_features(axis: int) -> None:
    position = np.zeros((1, 4), dtype=np.int64)
    position[0, axis] = 5
    turned = np.array(axial_rotation(position, AXES, THETA).sin[0]) != 0
    begin = sum(AXES[:axis]) // 2
    expected = np.zeros(sum(AXES) // 2, dtype=bool)
    expected[begin : begin + AXES[axis] // 2] = True
    assert (turned == expected).all()


def test_far_positions_stay_exact() -> None:
    rotation = axial_rotation(np.array([[0, 0, 0, 100_003]]), (2, 2, 2, 4), 2000.0)
    angles = 100_003.0 * 2000.0 ** (-np.array([0, 2]) / 4)
    np.testing.assert_allclose(np.array(rotation.cos[0, -2:]), np.cos(angles), atol=1e-6)


def _pairs(x: np.ndarray) -> np.ndarray:
    return x[..., 0::2] + 1j * x[..., 1::2]


def _halves(x: np.ndarray) -> np.ndarray:
    first, second = np.split(x, 2, axis=-1)
    return first + 1j * second


@pytest.mark.parametrize(("rotate", "as_complex"), [(rotate_pairs, _pairs), (rotate_halves, _halves)])
def test_turning_is_a_complex_multiplication(
    rotate: Callable[..., mx.array], as_complex: Callable[[np.ndarray], np.ndarray]
) -> None:
    rotation = sequence_rotation(7, 8, 100.0)
    laid_out = rotation.of_pairs() if rotate is rotate_pairs else rotation
    x = mx.random.normal((2, 7, 3, 8), key=mx.random.key(0))
    factor = (np.array(rotation.cos) + 1j * np.array(rotation.sin))[:, None]
    np.testing.assert_allclose(
        as_complex(np.array(rotate(x, laid_out))), as_complex(np.array(x)) * factor, rtol=1e-5, atol=1e-6
    )


def test_scores_depend_on_the_distance_alone() -> None:
    q, k = (mx.broadcast_to(mx.random.normal((8,), key=mx.random.key(seed)), (1, 9, 1, 8)) for seed in (1, 2))
    rotation = sequence_rotation(9, 8, 50.0).of_pairs()
    scores = (rotate_pairs(q, rotation)[0, :, 0] @ rotate_pairs(k, rotation)[0, :, 0].T).tolist()
    assert scores[2][5] == pytest.approx(scores[4][7], rel=1e-4)
    assert scores[2][5] != pytest.approx(scores[2][6], rel=1e-2)


def test_turns_in_float32_and_gives_the_dtype_back() -> None:
    rotation = sequence_rotation(64, 8, 10.0).of_pairs()
    x = mx.random.normal((1, 64, 1, 8), key=mx.random.key(0)).astype(mx.bfloat16)
    turned = rotate_pairs(x, rotation)
    assert turned.dtype == mx.bfloat16
    assert mx.array_equal(turned, rotate_pairs(x.astype(mx.float32), rotation).astype(mx.bfloat16))
