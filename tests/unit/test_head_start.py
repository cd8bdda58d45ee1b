"""A head start: what a GPU is given ahead never takes more than its room and one part."""

from __future__ import annotations

from collections import deque

import pytest

from flux2.backend.mlx import mx
from flux2.models import evaluation


class LateGpu:
    """Stands for MLX on a GPU that lets go of a part's memory some looks after it was waited for."""

    def __init__(self, late: int) -> None:
        self.held, self.peak, self.late, self.waits = 0, 0, late, 0
        self._parts: deque[int] = deque()
        self._going: deque[list[int]] = deque()  # bytes, and looks until they are let go of

    def async_eval(self, *parts: int) -> None:
        self._parts.append(sum(parts))
        self.held += sum(parts)
        self.peak = max(self.peak, self.held)

    def eval(self, *parts: int) -> None:
        if parts:
            self._going.append([self._parts.popleft(), self.late])

    def get_active_memory(self) -> int:
        for going in self._going:
            going[1] -= 1
        while self._going and self._going[0][1] < 0:
            self.held -= self._going.popleft()[0]
        return self.held

    def synchronize(self) -> None:
        self.waits += 1
        self._parts.clear()
        self._going.clear()
        self.held = 0


@pytest.mark.parametrize("late", [0, 1, 5, 1000])
@pytest.mark.parametrize("part", [10, 60, 150])
def test_the_peak_is_the_room_and_one_part(monkeypatch: pytest.MonkeyPatch, late: int, part: int) -> None:
    gpu = LateGpu(late)
    monkeypatch.setattr(evaluation, "mx", gpu)
    evaluate = evaluation.HeadStart(room=100)
    for _ in range(50):
        evaluate(part)
    assert gpu.peak <= 100 + part
    assert (gpu.waits > 0) == (part > 100 or late >= 100)


def test_what_was_held_before_the_first_part_takes_no_room() -> None:
    held = mx.zeros((1 << 20,))
    mx.eval(held)
    evaluate = evaluation.HeadStart(room=1 << 20)
    later = mx.zeros((1 << 20,))
    mx.eval(later)
    evaluate(mx.ones((4,)))
    assert evaluate._held_before is not None
    assert evaluate._held_before >= later.nbytes
