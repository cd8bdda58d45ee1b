"""Files that were never written in full: who reserves a file's room first and is broken off leaves holes, which read as
zeros, of right length and with a right header. A transformer of zeros draws grey noise and says nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from flux2.checkpoint.remedies import fetch_anew
from flux2.errors import CheckpointError
from flux2.humanize import size

TOLERATED = 0.01
"""Share of a file that may be holes: file systems that compress make one of zeros, and weights may be zero."""


def check_written(files: Iterable[Path]) -> None:
    """Raises CheckpointError if one of them has holes."""
    for path in files:
        try:
            total, holes = path.stat().st_size, bytes_in_holes(path)
        except OSError as error:
            raise CheckpointError(
                f"{path} can't be read ({error.strerror or error}); check the disk and the path."
            ) from error
        if holes > TOLERATED * total:
            raise CheckpointError(
                f"{path} was never written in full: {size(holes)} of its {size(total)} are holes; {fetch_anew(path)}."
            )


def bytes_in_holes(path: Path) -> int:
    """Bytes of a file that lie in holes, by what its file system tells; 0 where that knows no holes."""
    holes = position = 0
    with path.open("rb", buffering=0) as file:
        total = os.fstat(file.fileno()).st_size
        try:
            while (hole := os.lseek(file.fileno(), position, os.SEEK_HOLE)) < total:
                position = _end_of_hole(file.fileno(), hole, total)
                holes += position - hole
        except OSError:  # it can't be asked
            pass
    return holes


def _end_of_hole(file: int, hole: int, total: int) -> int:
    try:
        return os.lseek(file, hole, os.SEEK_DATA)
    except OSError:  # no data come any more
        return total
