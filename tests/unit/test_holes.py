"""Files with holes are told from whole ones, whatever their system knows of holes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux2.checkpoint.holes import bytes_in_holes, check_written
from flux2.errors import CheckpointError

PIECE = 1 << 20


def write(path: Path, pieces: str) -> Path:
    """A piece of data for each x, and a hole of its size for each dot."""
    with path.open("wb") as file:
        for number, piece in enumerate(pieces):
            if piece == "x":
                file.seek(number * PIECE)
                file.write(b"\1" * PIECE)
        file.truncate(len(pieces) * PIECE)
    return path


@pytest.mark.parametrize(("pieces", "holes"), [("xxx", 0), ("x.x.", 2), (".x", 1), ("...", 3), ("", 0)])
def test_holes_are_counted(tmp_path: Path, pieces: str, holes: int) -> None:
    path = write(tmp_path / "weights", pieces)
    assert bytes_in_holes(path) == holes * PIECE


def test_a_few_zeros_that_a_file_system_keeps_as_a_hole_are_no_fault(tmp_path: Path) -> None:
    check_written([write(tmp_path / "weights", "x" * 50 + "." + "x" * 50)])
    with pytest.raises(CheckpointError, match=r"weights was never written in full: 1\.00 MiB of its 50\.0 MiB"):
        check_written([write(tmp_path / "weights", "x" * 49 + ".")])


def test_a_file_system_that_knows_no_holes_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "weights", "x.")
    monkeypatch.setattr(os, "SEEK_HOLE", 99)
    assert bytes_in_holes(path) == 0
