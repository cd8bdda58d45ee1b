"""Rows come out as they went in, zeros lie around them, and what was released is gone."""

from __future__ import annotations

import pytest

from flux2.architecture import limits
from flux2.backend.mlx import mx
from flux2.models.bands import Bands, split_rows


def picture(height: int) -> mx.array:
    return mx.arange(1, height * 6 + 1).reshape(1, height, 2, 3)


def test_windows_go_across_bands_and_beyond_the_picture() -> None:
    x = picture(10)
    cut = Bands([x[:, :3], x[:, 3:4], x[:, 4:]])
    padded = mx.pad(x, [(0, 0), (2, 1), (0, 0), (0, 0)])
    for first in range(-2, 10):
        for last in range(max(1, first + 1), 12):
            assert mx.array_equal(cut.rows(first, last), padded[:, first + 2 : last + 2]), (first, last)
    assert (cut.height, cut.width, cut.channels, cut.dtype) == (10, 2, 3, x.dtype)


def test_only_what_was_released_is_gone() -> None:
    x = picture(10)
    cut = Bands([x[:, :3], x[:, 3:6], x[:, 6:]])
    cut.release(5)
    assert len(list(cut)) == 2
    assert mx.array_equal(cut.rows(3, 10), x[:, 3:])
    cut.release(10)
    assert list(cut) == []
    assert cut.height == 10


def test_nothing_of_a_whole_picture_stays() -> None:
    x = picture(4)
    cut = Bands([x[:, :1], x[:, 1:]])
    assert mx.array_equal(cut.whole(), x)
    assert list(cut) == []


@pytest.mark.parametrize("height", [1, 17, 64, 1000])
@pytest.mark.parametrize("row_bytes", [1, 100, 1 << 20])
def test_bands_cover_the_picture_once(monkeypatch: pytest.MonkeyPatch, height: int, row_bytes: int) -> None:
    for device in ("cpu", "gpu"):
        monkeypatch.setitem(limits.BAND_BYTES, device, 1000)
    parts = list(split_rows(height, row_bytes))
    assert [row for first, last in parts for row in range(first, last)] == list(range(height))
    heights = [last - first for first, last in parts]
    assert max(heights) <= max(1, 1000 // row_bytes)
    assert len({*heights[:-1]}) <= 1  # one shape, and the rest
