"""500 operations of the random tester; and that it sees faults, repeats what it did, and shortens it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.monkey.__main__ import read_episode, write_episode
from tests.monkey.episode import Episode, episode, run
from tests.monkey.operations import REST, Operation, counted, typed
from tests.monkey.shrinking import shortest
from tests.virtual_time import HungError, at_most
from tui.screens.menu import Menu

SEEDS = (0, 1, 8, 10, 11)
"""One episode of 100 operations each."""
MENU = (typed("\x1b", "m"), REST)


def test_there_are_500_operations() -> None:
    assert sum(counted(episode(seed).operations) for seed in SEEDS) >= 500


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_is_done_the_screen_stands(seed: int) -> None:
    assert run(episode(seed)) is None


def test_a_seed_always_means_the_same() -> None:
    assert episode(7) == episode(7) != episode(8)


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        ("raise ZeroDivisionError", "no exception"),
        ("self.call_later(self.set_focus, None)", "the focus is somewhere sensible"),
        ("self.app.dashboard.mount(Static())", "nothing is left behind"),
    ],
)
def test_it_sees_a_fault(fault: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    code = compile(fault, "fault", "exec")
    names: dict[str, object] = {}
    exec("from textual.widgets import Static", names)
    monkeypatch.setattr(Menu, "on_mount", lambda self: exec(code, names | {"self": self}))
    failure = run(Episode(1, (80, 24), MENU))
    assert failure is not None and failure.rule == rule


def test_it_sees_what_computes_without_end() -> None:
    with pytest.raises(HungError, match="without an end"), at_most(0.2):
        while True:
            pass


def test_a_list_is_shortened_to_what_fails() -> None:
    operations = [typed("a", "b"), REST, Operation("resize", numbers=(80, 24)), typed("c", "x", "d"), REST, typed("y")]

    def fails(tried: Sequence[Operation]) -> bool:
        pressed = "".join(text for operation in tried for text in operation.texts)
        return "x" in pressed and "y" in pressed

    assert shortest(operations, fails) == [typed("x"), typed("y")]


def test_what_is_printed_of_a_failure_is_read_back(tmp_path: Path) -> None:
    tried = episode(3)
    (tmp_path / "failure").write_text("\n".join(write_episode(tried)))
    assert read_episode(tmp_path / "failure") == tried
