"""The maps of both halves say what is there, and what may import what."""

from __future__ import annotations

import pytest

from tests import maps


@pytest.mark.parametrize("half", maps.HALVES)
def test_the_map_is_what_is_there(half: str) -> None:
    assert maps.render(half) == maps.page(half).read_text(encoding="utf-8"), "run `python -m tests.maps`"


def test_rows_keep_their_order_and_new_ones_come_last() -> None:
    rows = {name: f"- `{name}`: new." for name in ("a", "b", "c")}
    assert maps.in_order_of("- `c`: old.\n- `gone`: old.\n- `a`: old.\n", rows) == [rows["c"], rows["a"], rows["b"]]


@pytest.mark.parametrize(
    ("contract", "told"),
    [
        (
            {"type": "forbidden", "source_modules": ["a"], "forbidden_modules": ["b", "c"]},
            "`a` imports none of `b`, `c`",
        ),
        ({"type": "layers", "layers": ["a", "b : c"]}, "each imports only what comes after it: `a` › `b : c`"),
        (
            {"type": "layers", "layers": ["a", "b"], "containers": ["x"]},
            "in `x`, each imports only what comes after it",
        ),
    ],
)
def test_a_contract_is_told(contract: dict[str, object], told: str) -> None:
    assert told in maps.rule(contract)
