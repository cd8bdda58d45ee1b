"""Texts as the panes break and cut them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from flux2.humanize import gigabytes
from tui.lines.text import wrapped


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("step 1 of 4: 0.21 s", ["step 1 of 4: 0.21 s"]),
        (
            "Saved /tmp/pictures/a-red-fox-42.png after 4.5 s",
            ["Saved /tmp/pictures/", "a-red-fox-42.png", "after 4.5 s"],
        ),
        ("/home/me/a-cat-on-a-windowsill-at-sunset.png", ["/home/me/a-cat-on-a-", "windowsill-at-", "sunset.png"]),
        ("at 23.1 MB/s now, or not", ["at 23.1 MB/s now, or", "not"]),
        ("x" * 25, ["x" * 20, "x" * 5]),
        ("one\n\ntwo", ["one", "", "two"]),
        ("狐" * 12, ["狐" * 10, "狐" * 2]),
        ("bell\a \x1b[2J", ["bell\\x07 \\x1b[2J"]),
        ("", [""]),
    ],
)
def test_lines_are_broken_where_one_reads_on(text: str, lines: list[str]) -> None:
    assert list(wrapped(text, 20)) == lines


@given(st.text(alphabet="ab/-_ 狐é"), st.integers(8, 40))
def test_every_line_fits_and_nothing_but_spaces_is_lost(text: str, width: int) -> None:
    lines = list(wrapped(text, width))
    assert all(cell_len(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@pytest.mark.parametrize(
    ("count", "written"), [(0, "0"), (24e6, "0.024"), (0.24e9, "0.24"), (27.94e9, "27.9"), (128e9, "128")]
)
def test_gigabytes_have_three_figures(count: float, written: str) -> None:
    assert gigabytes(count) == written
