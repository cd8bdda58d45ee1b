"""Buckets and columns of the memory graph."""

from __future__ import annotations

import random

import pytest

from tui.state.memory_history import CAPACITY, MemoryHistory, column_seconds

GB = 10**9


def filled(count: int, seed: int = 0) -> tuple[MemoryHistory, list[tuple[float, int, int]]]:
    """A history of `count` readings at 4 Hz, and these readings."""
    chance = random.Random(seed)
    readings = []
    for place in range(count):
        active = chance.randrange(1, 40 * GB)
        readings.append((place / 4, active, active + chance.randrange(GB)))
    history = MemoryHistory()
    for reading in readings:
        history.add(*reading)
    return history, readings


def test_a_spike_is_never_averaged_away() -> None:
    history = MemoryHistory()
    for place in range(4000):
        history.add(place / 4, GB, 2 * GB)
        if place == 1234:
            history.add(place / 4, 30 * GB, 31 * GB)
    for seconds in (0.25, 1.0, 8.0, 64.0, 1000.0):
        columns = [column for column in history.columns(0, seconds) if column]
        assert max(column.active for column in columns) == 30 * GB
        assert max(column.peak for column in columns) == 31 * GB


def test_a_column_shows_the_highest_of_its_readings() -> None:
    history, readings = filled(1000)
    columns = history.columns(0, 2.0)
    for place, column in enumerate(columns):
        inside = [(active, peak) for at, active, peak in readings if place * 2 <= at < place * 2 + 2]
        assert column is not None
        assert column.active == max(active for active, _ in inside)
        assert column.peak == max(peak for _, peak in inside)


@pytest.mark.parametrize("later", [10, 500, 9000])
def test_old_columns_stay_as_they_were_drawn(later: int) -> None:
    """However many readings follow: once the last column is complete it never changes again."""
    history, _ = filled(800)
    before = history.columns(0, 4.0)
    for place in range(later):
        history.add(200 + place / 4, GB, GB)
    assert history.columns(0, 4.0)[: len(before) - 1] == before[:-1]


def test_half_an_hour_stays_small() -> None:
    history, _ = filled(7200)
    assert len(history.buckets) <= CAPACITY
    assert history.end == pytest.approx(1799.75)


def test_memory_is_what_was_last_known_where_no_reading_came() -> None:
    history = MemoryHistory()
    history.add(0.0, 5 * GB, 6 * GB)
    history.add(10.0, GB, 6 * GB)
    columns = history.columns(0, 1.0)
    assert [column.active // GB for column in columns if column] == [5] * 10 + [1]


def test_the_close_up_begins_with_what_was_known_before_it() -> None:
    history = MemoryHistory()
    history.add(0.0, 5 * GB, 5 * GB)
    history.add(100.0, GB, 5 * GB)
    assert [column.active // GB for column in history.columns(98.0, 1.0) if column] == [5, 5, 1]


def test_nothing_is_drawn_before_the_first_reading() -> None:
    history = MemoryHistory()
    history.add(3.0, GB, GB)
    assert history.columns(0, 1.0)[:3] == [None, None, None]


def test_a_late_reading_is_not_lost() -> None:
    history = MemoryHistory()
    history.add(5.0, GB, GB)
    history.add(4.9, 9 * GB, 9 * GB)
    assert max(column.active for column in history.columns(0, 1.0) if column) == 9 * GB


def test_the_width_of_a_column_is_a_power_of_two() -> None:
    assert column_seconds(0.0, 80, 1 / 16) == 1 / 16
    assert column_seconds(100.0, 80, 1 / 16) == 2.0
    assert all(column_seconds(elapsed, 132) * 131 >= elapsed for elapsed in (1, 17, 300, 1800, 9000))
