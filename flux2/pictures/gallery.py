"""All pictures that were made, newest first: an index of their settings and thumbnails, cheap to bring up to date.

What a file says of itself is read once and kept in a database in the cache folder, under the file's path, size and
time of change; a file that is the same needs a `stat` from then on. The database holds nothing that can't be made
again: where it is damaged or of another version it is begun anew, and where it can't be written the index lives in
memory.

The methods block and may be called from any thread, one at a time.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import RLock
from typing import Any

from PIL import Image

from flux2.disk.digest import digest
from flux2.disk.private import check_own, make_private
from flux2.errors import Flux2Error
from flux2.folders import pictures_dir
from flux2.paths import cache_dir
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import read_header, read_pixels
from flux2.request import GenerationRequest

FORMAT = 2
"""Counted up when the tables change."""
THUMBNAIL_SIDE = 192
"""Pixels of the longer side: enough for half-cells of 96 × 96, and about 9 KB as JPEG."""
MAX_DEPTH = 4
"""Folders below the pictures folder that are looked into."""
_TELL_EVERY = 0.5
"""Seconds between two tellings of how far a scan has come."""

_TABLES = """
CREATE TABLE IF NOT EXISTS pictures (
    path BLOB PRIMARY KEY, size INTEGER, changed INTEGER,
    width INTEGER, height INTEGER, created REAL, request TEXT, problem TEXT
);
CREATE TABLE IF NOT EXISTS thumbnails (path BLOB PRIMARY KEY, size INTEGER, changed INTEGER, jpeg BLOB, digest TEXT);
"""


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG, and what it says of itself."""

    path: Path
    size: int
    """Bytes."""
    changed: int
    """The file's time of change, in nanoseconds since the epoch."""
    width: int = 0
    """Pixels; 0 where the file can't be read."""
    height: int = 0
    created: float = 0.0
    """Seconds since the epoch: as the picture says, else the file's time of change."""
    request: GenerationRequest | None = None
    """How it was made; None for pictures of others."""
    problem: str = ""
    """Why it can't be read, "" where it can."""

    @property
    def age_key(self) -> tuple[float, int, str]:
        """Sorts oldest first; a second may hold several pictures."""
        return self.created, self.changed, str(self.path)


class Gallery:
    """The index of the PNGs in some folders, and of pictures elsewhere that it was told of."""

    def __init__(self, folders: Sequence[Path] | None = None, database: Path | None = None) -> None:
        """
        Args:
            folders: where pictures are looked for; the pictures folder by default.
            database: where the index is kept; in the cache folder by default.
        """
        self._folders = tuple(folders) if folders is not None else (pictures_dir(),)
        self._database = database or cache_dir() / "gallery.sqlite"
        self._lock = RLock()
        self._connection: sqlite3.Connection | None = None
        self._pictures: dict[Path, Picture] = {}

    @property
    def pictures(self) -> list[Picture]:
        """All that are known, newest first."""
        with self._lock:
            return sorted(self._pictures.values(), key=lambda picture: picture.age_key, reverse=True)

    def load(self) -> list[Picture]:
        """What was known last time, before anything is looked for; files may be gone since."""
        with self._lock:
            rows = self._ask("SELECT path, size, changed, width, height, created, request, problem FROM pictures")
            self._pictures = {picture.path: picture for row in rows if (picture := _from_row(row))}
        return self.pictures

    def scan(self, tell: Callable[[list[Picture]], None] = lambda _: None) -> list[Picture]:
        """Bring the index up to date with the files, newest first, and return all of it.

        Args:
            tell: called now and then with what is known so far.
        """
        with self._lock:
            before = set(self._pictures)
        found = {path: (size, changed) for path, size, changed in self._files()}
        with self._lock:
            known = self._pictures
            gone = [path for path in before if path not in found]
            for path in gone:
                known.pop(path, None)
            self._forget(gone)
            unread = [
                path
                for path, stamp in sorted(found.items(), key=lambda item: item[1][1], reverse=True)
                if path not in known or (known[path].size, known[path].changed) != stamp
            ]
        told = time.monotonic()
        read: list[Picture] = []
        for path in unread:
            picture = read_picture(path, *found[path])
            read.append(picture)
            if time.monotonic() - told > _TELL_EVERY:
                self._keep(read)
                read = []
                tell(self.pictures)
                told = time.monotonic()
        self._keep(read)
        return self.pictures

    def add(self, path: Path) -> Picture | None:
        """Take up a picture that was just made, wherever it lies; None if it is gone already."""
        stamp = _stamp(path)
        if stamp is None:
            return None
        picture = read_picture(path.absolute(), *stamp)
        self._keep([picture])
        return picture

    def remove(self, path: Path) -> None:
        """A picture is gone."""
        with self._lock:
            self._pictures.pop(path, None)
            self._forget([path])

    def thumbnail(self, picture: Picture) -> Image.Image:
        """The picture with its longer side at `THUMBNAIL_SIDE` pixels or less.

        Raises:
            Flux2Error: if it can't be read.
        """
        key = (os.fsencode(picture.path), picture.size, picture.changed)
        with self._lock:
            rows = self._ask("SELECT jpeg, digest FROM thumbnails WHERE path = ? AND size = ? AND changed = ?", key)
        if rows and digest(bytes(rows[0][0])) == rows[0][1] and (kept := _decoded(rows[0][0])):
            return kept
        image = read_pixels(picture.path)
        image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=85)
        jpeg = file.getvalue()
        with self._lock:
            self._ask("INSERT OR REPLACE INTO thumbnails VALUES (?, ?, ?, ?, ?)", (*key, jpeg, digest(jpeg)))
        return _decoded(jpeg) or image  # as it will look next time

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _files(self) -> Iterator[tuple[Path, int, int]]:
        """Path, size and time of change of every PNG in the folders, and of those known elsewhere."""
        seen: set[Path] = set()
        for folder in self._folders:
            for entry in _pngs(folder.absolute(), MAX_DEPTH):
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    seen.add(path := Path(entry.path))
                    yield path, status.st_size, status.st_mtime_ns
        with self._lock:
            elsewhere = [path for path in self._pictures if path not in seen]
        for path in elsewhere:
            if stamp := _stamp(path):
                yield path, *stamp

    def _keep(self, pictures: Iterable[Picture]) -> None:
        pictures = list(pictures)
        if not pictures:
            return
        with self._lock:
            self._pictures.update((picture.path, picture) for picture in pictures)
            self._ask_many(
                "INSERT OR REPLACE INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [_to_row(picture) for picture in pictures],
            )

    def _forget(self, paths: Sequence[Path]) -> None:
        keys = [(os.fsencode(path),) for path in paths]
        if keys:
            self._ask_many("DELETE FROM pictures WHERE path = ?", keys)
            self._ask_many("DELETE FROM thumbnails WHERE path = ?", keys)

    # --- the database ------------------------------------------------------------------------------------------------

    def _ask(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        return self._tolerant(lambda connection: connection.execute(statement, values).fetchall())

    def _ask_many(self, statement: str, values: Sequence[Sequence[object]]) -> None:
        self._tolerant(lambda connection: connection.executemany(statement, values).fetchall())

    def _tolerant(self, ask: Callable[[sqlite3.Connection], list[tuple[Any, ...]]]) -> list[tuple[Any, ...]]:
        """The answer; [] from a database that can't be read or written, and from then on one in memory."""
        if self._connection is None:
            self._connection = _open(self._database)
        try:
            with self._connection:
                return ask(self._connection)
        except sqlite3.OperationalError:
            return []  # locked by another screen for long, or the disk is full: an index entry less
        except sqlite3.DatabaseError:
            self._connection.close()
            with contextlib.suppress(OSError):
                self._database.unlink(missing_ok=True)
            self._connection = _open(self._database)
            return []


def read_picture(path: Path, size: int, changed: int) -> Picture:
    """What a PNG says of itself; a damaged one's problem is a sentence."""
    fallback = changed / 1e9
    try:
        (width, height), text = read_header(path)
    except Flux2Error as error:
        return Picture(path, size, changed, created=fallback, problem=str(error))
    try:
        metadata = ImageMetadata.from_json(text) if text else None
    except (ValueError, Flux2Error):
        metadata = None  # the picture can be looked at all the same
    created = _seconds(metadata.created, fallback) if metadata else fallback
    return Picture(path, size, changed, width, height, created, metadata.request if metadata else None)


def _decoded(jpeg: bytes) -> Image.Image | None:
    with contextlib.suppress(OSError), Image.open(io.BytesIO(jpeg), formats=["JPEG"]) as image:
        return image.convert("RGB")
    return None


def _seconds(text: str, fallback: float) -> float:
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        return fallback


def _pngs(folder: Path, depth: int) -> Iterator[os.DirEntry[str]]:
    """Neither hidden files nor links to folders are followed; a folder that can't be read is passed over."""
    below: list[str] = []
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.name.lower().endswith(".png"):
                with contextlib.suppress(OSError):
                    if entry.is_file():
                        yield entry
            elif entry.is_dir(follow_symlinks=False):
                below.append(entry.path)
    if depth:
        for name in below:
            yield from _pngs(Path(name), depth - 1)


def _stamp(path: Path) -> tuple[int, int] | None:
    """Size and time of change; None where there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def _open(path: Path) -> sqlite3.Connection:
    """The database at `path`, which nobody else can read, begun anew where it is of no use; in memory where the disk
    can't be written, or another user's file is in its place."""
    for _ in range(2 if _made(path) else 0):
        try:
            return _prepared(sqlite3.connect(path, timeout=2.0, check_same_thread=False))
        except sqlite3.OperationalError:
            break
        except sqlite3.DatabaseError:
            path.unlink(missing_ok=True)
    return _prepared(sqlite3.connect(":memory:", check_same_thread=False))


def _made(path: Path) -> bool:
    """Whether there is a file of our own now for the database; SQLite's others beside it have its mode."""
    try:
        make_private(path.parent)
        with contextlib.suppress(FileExistsError):
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        check_own(path)
        path.chmod(0o600)
    except OSError:
        return False
    return True


def _prepared(connection: sqlite3.Connection) -> sqlite3.Connection:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    connection.execute("PRAGMA synchronous = OFF")  # a power cut may cost the index, which is then made again
    with connection:
        if version != FORMAT:
            connection.executescript("DROP TABLE IF EXISTS pictures; DROP TABLE IF EXISTS thumbnails;")
        connection.executescript(_TABLES)
        connection.execute(f"PRAGMA user_version = {FORMAT}")
    return connection


def _to_row(picture: Picture) -> tuple[Any, ...]:
    request = picture.request
    return (
        os.fsencode(picture.path),
        picture.size,
        picture.changed,
        picture.width,
        picture.height,
        picture.created,
        json.dumps(request.to_dict()) if request else "",
        picture.problem.encode("utf-8", "replace").decode(),  # a file's name may be no UTF-8
    )


def _from_row(row: Sequence[Any]) -> Picture | None:
    path, size, changed, width, height, created, request, problem = row
    try:
        asked = GenerationRequest.from_kept(json.loads(str(request))) if request else None
        return Picture(
            Path(os.fsdecode(path)),
            int(size),
            int(changed),
            int(width),
            int(height),
            float(created),
            asked,
            str(problem),
        )
    except (ValueError, TypeError, Flux2Error):
        return None
