"""What a filter finds, and how text from files is fitted into cells."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui.lines.text import fitted
from tui.state.fuzzy import matcher

TEXT = "A fluffy orange Tabby cat sitting on a windowsill at sunset klein-4b int4 seed 1234"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", True),
        ("tabby", True),
        ("TAB sun", True),
        ("wdwsl", True),
        ("1234", True),
        ("int4 cat", True),
        ("klein dog", False),
        ("indow", True),
        ("ndwsl", False),  # letters in order, but not from the word's beginning
        ("ybbat", False),
    ],
)
def test_matches(query: str, found: bool) -> None:
    assert matcher(query)(TEXT) is found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("fox", "fox     "),
        ("a fox\nasleep", "a fox a…"),
        ("\x1b[2J\x07", "\\x1b[2J…"),
        ("雪の中の狐", "雪の中… "),
        ("", "        "),
    ],
)
def test_fitted(text: str, shown: str) -> None:
    assert fitted(text, 8) == shown


@given(st.text(), st.integers(0, 12))
def test_fitted_text_is_as_wide_as_asked_and_plain(text: str, width: int) -> None:
    line = fitted(text, width)
    assert cell_len(line) == width
    assert line.isprintable()
