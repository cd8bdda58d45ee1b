"""Scales and labels of the memory graph."""

from __future__ import annotations

import pytest

from tui.lines.axis import memory_scale, time_labels

GB = 10**9


def labels(peak: float, limit: float, rows: int) -> list[str]:
    scale = memory_scale(int(peak * GB), int(limit * GB), rows)
    return [label for row in range(rows) if (label := scale.label(row, rows))]


def test_the_limit_is_in_view_where_the_run_comes_near_it() -> None:
    scale = memory_scale(30 * GB, 48 * GB, 12)
    assert scale.limit_in_view
    assert scale.limit_row(12) == 0
    assert scale.limit_note().strip() == "limit 48 GB"


def test_a_peak_above_the_limit_is_drawn_above_it() -> None:
    scale = memory_scale(60 * GB, 48 * GB, 20)
    limit_row = scale.limit_row(20)
    assert limit_row is not None
    assert scale.row(60 * GB, 20) < limit_row


def test_a_small_run_is_not_flattened_by_a_distant_limit() -> None:
    scale = memory_scale(int(0.3 * GB), 128 * GB, 12)
    assert scale.top < GB
    assert scale.limit_row(12) == 0
    assert scale.limit_note().endswith("↑")


@pytest.mark.parametrize(
    ("peak", "limit", "rows", "expected"),
    [
        (30, 48, 12, ["40", "20", "0"]),
        (30, 48, 24, ["50", "40", "30", "20", "10", "0"]),
        (0.3, 0, 12, ["0.4", "0.3", "0.2", "0.1", "0"]),
        (2.2, 0, 6, ["4", "2", "0"]),
    ],
)
def test_ticks_are_round(peak: float, limit: float, rows: int, expected: list[str]) -> None:
    assert labels(peak, limit, rows) == expected


def test_the_scale_does_not_move_with_every_byte() -> None:
    tops = {memory_scale(int(peak * 0.01 * GB), 128 * GB, 12).top for peak in range(1000, 1300)}
    assert len(tops) <= 2


def test_anything_above_nothing_is_one_dot() -> None:
    scale = memory_scale(10 * GB, 0, 10)
    assert (scale.dots(0, 40), scale.dots(1, 40), scale.dots(scale.top, 40)) == (0, 1, 40)


def test_times_stand_under_their_cells() -> None:
    line = time_labels(0.0, 1.0, 70)
    assert line.index("0:15") == 15
    assert line.index("1:00") == 60
    assert len(line) == 70


def test_tenths_of_seconds_for_the_shortest_runs() -> None:
    assert time_labels(0.0, 0.02, 60).split("  ")[0] == "0.0 s"
