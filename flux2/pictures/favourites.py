"""The pictures that the user marked, in one JSON file in the state folder; nothing is written beside the pictures.

A picture is known by the SHA-256 of its file, so that it stays a favourite when it is renamed or moved. Its path, size
and time of change are kept, too: while they are right, no file has to be read to tell.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from flux2.disk.atomic import changing, put_aside, write_atomically
from flux2.disk.private import make_private, read_own
from flux2.errors import Flux2Error
from flux2.paths import state_dir
from flux2.pictures.gallery import Picture


@dataclass(frozen=True, slots=True)
class _Mark:
    sha256: str
    path: str
    size: int
    changed: int
    """Time of change in nanoseconds, as `Picture.changed`."""


class Favourites:
    """Read anew before each change, so that several screens can mark at once."""

    def __init__(self, file: Path | None = None) -> None:
        self._file = file or state_dir() / "favourites.json"
        self._marks = _read(self._file)

    def __contains__(self, picture: Picture) -> bool:
        mark = self._marks.get(str(picture.path))
        return mark is not None and (mark.size, mark.changed) == (picture.size, picture.changed)

    def toggle(self, picture: Picture) -> bool:
        """Mark the picture, or take its mark away.

        Returns:
            whether it is a favourite now.

        Raises:
            Flux2Error: if it can't be read, or the marks can't be written.
        """
        digest = _digest(picture.path)
        with self._changing():
            marked = picture not in self
            if marked:
                self._mark(picture, digest)
            else:
                del self._marks[str(picture.path)]
        return marked

    def follow(self, pictures: Iterable[Picture]) -> None:
        """Find marked pictures that were renamed, moved or touched. Only files of a lost picture's size are read."""
        self._marks = _read(self._file)
        found: list[tuple[_Mark, Picture]] = []
        pictures = list(pictures)
        there = {str(picture.path) for picture in pictures if picture in self}
        lost = [mark for path, mark in self._marks.items() if path not in there]
        by_size: dict[int, dict[str, _Mark]] = {}
        for mark in lost:
            by_size.setdefault(mark.size, {})[mark.sha256] = mark
        for picture in pictures:
            candidates = by_size.get(picture.size)
            if not candidates or str(picture.path) in there:
                continue
            with contextlib.suppress(Flux2Error):
                digest = _digest(picture.path)
                if digest in candidates:
                    found.append((candidates.pop(digest), picture))
        if found:
            with contextlib.suppress(Flux2Error), self._changing():  # else it is found again next time
                for mark, picture in found:
                    if self._marks.pop(mark.path, None):  # unless another screen took it away meanwhile
                        self._mark(picture, mark.sha256)

    def _mark(self, picture: Picture, digest: str) -> None:
        path = str(picture.path)
        self._marks[path] = _Mark(digest, path, picture.size, picture.changed)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        """The marks as they are on the disk now, to be changed by nobody else; all are written at the end.

        Raises:
            Flux2Error: if they can't be written; they are then as they are on the disk.
        """
        try:
            make_private(self._file.parent)
            with changing(self._file):
                self._marks = _read(self._file)
                yield
                content = json.dumps([asdict(mark) for mark in self._marks.values()], indent=1)
                write_atomically(self._file, content.encode())
        except OSError as error:
            self._marks = _read(self._file)
            why = error.strerror or error
            raise Flux2Error(f"The favourites can't be written to {self._file}: {why}.") from error


def _read(file: Path) -> dict[str, _Mark]:
    """Marks by path. A damaged file is put aside, not lost; a damaged entry is passed over."""
    try:
        entries = json.loads(read_own(file))
    except OSError:
        return {}
    except (ValueError, RecursionError):
        entries = None
    if not isinstance(entries, list):
        put_aside(file)
        return {}
    marks: dict[str, _Mark] = {}
    for entry in entries:
        with contextlib.suppress(TypeError, KeyError, ValueError):
            mark = _Mark(str(entry["sha256"]), str(entry["path"]), int(entry["size"]), int(entry["changed"]))
            marks[mark.path] = mark
    return marks


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise Flux2Error(f"{path} can't be read: {error.strerror}.") from error
