"""Previews come in order, from another thread, one for each step, and none after a run was broken off."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from flux2.backend.mlx import mx
from flux2.denoise.preview import Array, DrawnPreview
from flux2.denoise.preview_drawing import previews_aside


def estimate(step: int) -> mx.array:
    return mx.full((1, 4, 8), step)


class Painter:
    """Draws when it may; the picture tells which estimate it is of."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.threads: set[int] = set()
        self.told: list[tuple[int, bytes]] = []

    def draw(self, tokens: Array) -> DrawnPreview:
        assert self.may.wait(5)
        assert tokens.shape == (4, 8)
        self.threads.add(threading.get_ident())
        return DrawnPreview(1, 1, b"%d" % np.unique(tokens).item())

    def tell(self, step: int, drawn: DrawnPreview) -> None:
        self.told.append((step, drawn.png))


def test_every_step_has_its_preview_in_order() -> None:
    painter = Painter()
    painter.may.set()
    with previews_aside(painter.draw, painter.tell) as aside:
        for step in range(1, 6):
            aside.begin(step, estimate(step))
            aside.tell_if_done()
    assert painter.told == [(step, b"%d" % step) for step in range(1, 6)]
    assert threading.get_ident() not in painter.threads


def test_nobody_waits_for_a_preview_before_the_next_one() -> None:
    painter = Painter()
    with previews_aside(painter.draw, painter.tell) as aside:
        aside.begin(1, estimate(1))
        aside.tell_if_done()
        assert painter.told == []
        painter.may.set()
        aside.begin(2, estimate(2))
        assert painter.told == [(1, b"1")]
    assert painter.told == [(1, b"1"), (2, b"2")]


def test_a_broken_off_run_tells_of_none() -> None:
    painter = Painter()
    painter.may.set()
    with pytest.raises(KeyboardInterrupt), previews_aside(painter.draw, painter.tell) as aside:
        aside.begin(1, estimate(1))
        raise KeyboardInterrupt
    assert painter.told == []


def test_what_goes_wrong_in_drawing_is_raised() -> None:
    def fail(_: Array) -> DrawnPreview:
        raise ValueError("no colours left")

    with pytest.raises(ValueError, match="no colours left"), previews_aside(fail, lambda *_: None) as aside:
        aside.begin(1, estimate(1))
