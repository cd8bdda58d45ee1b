"""Sizes as people write them, whose word on the budget counts, and how a peak is judged."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux2.errors import RequestError
from flux2.events import Memory
from flux2.humanize import parameters, parse_size
from flux2.planning.budget import BUDGET_VARIABLE, Budget, machine_limit, read_budget, user_budget
from flux2.settings import write_setting


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("12GB", 12_000_000_000),
        ("12 GiB", 12 * 2**30),
        ("11500MiB", 11500 * 2**20),
        ("1.5g", 1_500_000_000),
        (" 4096 ", 4096),
        ("2Ti", 2 * 2**40),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert parse_size(text) == count


@pytest.mark.parametrize(
    "text", ["", "GB", "-1GB", "12 bananas", "1e9", "nan", "0GB", "0.1B", "12iB", "1,5GB", "9" * 99 + "x"]
)
def test_nonsense_is_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)
    with pytest.raises(RequestError, match=r"The memory budget is .* write 12GB or 11500MiB"):
        read_budget(text)


def test_the_environment_goes_before_the_settings_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    monkeypatch.delenv(BUDGET_VARIABLE, raising=False)
    assert user_budget() is None
    write_setting("memory_budget", "10GB")
    assert user_budget() == 10_000_000_000
    monkeypatch.setenv(BUDGET_VARIABLE, "8GiB")
    assert user_budget() == 8 * 2**30
    monkeypatch.setenv(BUDGET_VARIABLE, "lots")
    with pytest.raises(RequestError, match="FLUX2_MEMORY_BUDGET is 'lots'"):
        user_budget()


def test_judges_by_what_there_is_and_what_is_free() -> None:
    budget = Budget(limit=1000, available=500)
    assert [budget.judge(peak) for peak in (450, 451, 1000, 1001)] == ["fits", "tight", "tight", "does not fit"]
    assert budget.is_better(450, 451)
    assert not budget.is_better(1, 450)


def test_what_the_process_holds_is_its_own_to_use() -> None:
    reading = Memory(active=300, peak=900, cache=50, available=500)
    assert Budget.now(1000, reading) == Budget(limit=1000, available=850)
    assert Budget.now(1000, Memory(active=300, peak=300, cache=0)).available == 1000  # nobody knows


def test_machines_of_every_size_have_their_share() -> None:
    assert [round(machine_limit(size << 30) / 2**30, 1) for size in (8, 16, 24, 64, 128)] == [5.3, 10.7, 16, 48, 96]


def test_parameters_are_counted_in_one_form() -> None:
    assert [parameters(count) for count in (13e6, 3.9e9, 32.2e9)] == ["13 M", "3.9 B", "32.2 B"]
