"""The index of pictures: right, cheap, and unmoved by what others put into the folder."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flux2.errors import Flux2Error
from flux2.pictures import gallery
from flux2.pictures.favourites import Favourites
from flux2.pictures.gallery import Gallery, Picture
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

RED = Image.new("RGB", (320, 160), (200, 30, 30))
REQUEST = GenerationRequest(prompt="a fox", width=320, height=160, steps=4, guidance=1.0, seed=1)


def made(folder: Path, name: str, created: str = "2026-01-01T00:00:00+00:00", **fields: object) -> Path:
    request = replace(REQUEST, **fields)  # type: ignore[arg-type]
    return save_png(RED, folder / name, ImageMetadata(request=request, created=created))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def index(tmp_path: Path, folder: Path) -> Gallery:
    return Gallery([folder], tmp_path / "cache" / "gallery.sqlite")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were read."""
    read: list[Path] = []
    honest = gallery.read_picture

    def spy(path: Path, size: int, changed: int) -> Picture:
        read.append(path)
        return honest(path, size, changed)

    monkeypatch.setattr(gallery, "read_picture", spy)
    return read


def names(pictures: list[Picture]) -> list[str]:
    return [picture.path.name for picture in pictures]


def test_newest_first_with_their_settings(folder: Path, index: Gallery) -> None:
    made(folder, "old.png", "2025-01-01T00:00:00+00:00")
    made(folder / "deeper", "new.png", "2026-01-01T00:00:00+00:00", seed=7)
    pictures = index.scan()
    assert names(pictures) == ["new.png", "old.png"]
    assert pictures[0].request == replace(REQUEST, seed=7)
    assert (pictures[0].width, pictures[0].height) == (320, 160)


def test_a_file_is_read_once(folder: Path, index: Gallery, tmp_path: Path, reads: list[Path]) -> None:
    one, two = made(folder, "one.png"), made(folder, "two.png")
    first = index.scan()
    index.scan()
    assert sorted(reads) == [one, two]
    index.close()
    again = Gallery([folder], tmp_path / "cache" / "gallery.sqlite")
    assert again.load() == first  # before anything is looked for
    assert again.scan() == first
    assert sorted(reads) == [one, two]
    os.utime(one, (1, 1))
    again.scan()
    assert reads[2:] == [one]


def test_what_is_gone_is_dropped_and_what_is_made_appears(folder: Path, index: Gallery, tmp_path: Path) -> None:
    one = made(folder, "one.png")
    index.scan()
    elsewhere = made(tmp_path / "elsewhere", "two.png", "2026-02-01T00:00:00+00:00")
    added = index.add(elsewhere)
    assert added is not None
    assert names(index.scan()) == ["two.png", "one.png"]  # one that the user named is kept, wherever it lies
    one.unlink()
    assert names(index.scan()) == ["two.png"]
    index.remove(elsewhere)
    assert index.pictures == []
    assert index.add(tmp_path / "never.png") is None


def test_others_pictures_and_damaged_files(folder: Path, index: Gallery) -> None:
    folder.mkdir()
    Image.new("RGB", (64, 32)).save(folder / "foreign.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    (folder / "empty\x1b[31m.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no picture")
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "loop").symlink_to(folder)
    (folder / "link.png").symlink_to(folder / "gone.png")
    (folder / os.fsdecode(b"latin-\xe4.png")).write_bytes(b"")
    pictures = {picture.path.name: picture for picture in index.scan()}
    assert pictures.keys() == {"foreign.png", "broken.png", "empty\x1b[31m.png", os.fsdecode(b"latin-\xe4.png")}
    assert (pictures["foreign.png"].width, pictures["foreign.png"].request) == (64, None)
    assert "can't be read" in pictures["broken.png"].problem
    with pytest.raises(Flux2Error):
        index.thumbnail(pictures["broken.png"])


def test_a_thumbnail_is_made_once(folder: Path, index: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    made(folder, "one.png")
    picture = index.scan()[0]
    assert index.thumbnail(picture).size == (gallery.THUMBNAIL_SIDE, gallery.THUMBNAIL_SIDE // 2)
    monkeypatch.setattr(gallery, "read_pixels", lambda _: pytest.fail("decoded again"))
    kept = index.thumbnail(picture)
    assert kept.getpixel((50, 50)) == pytest.approx((200, 30, 30), abs=4)


@pytest.mark.parametrize("place", [0, 20, 500, -1])
def test_a_thumbnail_with_a_flipped_bit_is_made_anew(folder: Path, index: Gallery, tmp_path: Path, place: int) -> None:
    made(folder, "one.png")
    picture = index.scan()[0]
    whole = index.thumbnail(picture).tobytes()
    with sqlite3.connect(tmp_path / "cache" / "gallery.sqlite") as database:
        jpeg = bytearray(database.execute("SELECT jpeg FROM thumbnails").fetchone()[0])
        jpeg[place] ^= 0x40
        database.execute("UPDATE thumbnails SET jpeg = ?", (bytes(jpeg),))
    assert index.thumbnail(picture).tobytes() == whole
    with sqlite3.connect(tmp_path / "cache" / "gallery.sqlite") as database:
        assert database.execute("SELECT jpeg FROM thumbnails").fetchone()[0] != jpeg


@pytest.mark.parametrize("content", [b"not a database, but long enough to be looked at" * 20, b""])
def test_a_damaged_database_is_begun_anew(folder: Path, tmp_path: Path, content: bytes) -> None:
    made(folder, "one.png")
    database = tmp_path / "gallery.sqlite"
    database.write_bytes(content)
    index = Gallery([folder], database)
    assert index.load() == []
    assert names(index.scan()) == ["one.png"]
    index.close()
    assert names(Gallery([folder], database).load()) == ["one.png"]


def test_a_database_of_another_version_is_begun_anew(folder: Path, tmp_path: Path) -> None:
    made(folder, "one.png")
    database = tmp_path / "gallery.sqlite"
    with sqlite3.connect(database) as connection:
        connection.executescript("CREATE TABLE pictures (wrong); PRAGMA user_version = 99")
    connection.close()
    index = Gallery([folder], database)
    assert index.load() == []
    assert names(index.scan()) == ["one.png"]


def test_a_database_that_cannot_be_written(folder: Path, tmp_path: Path) -> None:
    made(folder, "one.png")
    (tmp_path / "file").write_text("in the way")
    assert names(Gallery([folder], tmp_path / "file" / "gallery.sqlite").scan()) == ["one.png"]


# --- favourites ----------------------------------------------------------------------------------------------------


def test_a_mark_survives_renaming_moving_and_touching(folder: Path, index: Gallery, tmp_path: Path) -> None:
    path = made(folder, "one.png", seed=5)
    made(folder, "other.png", seed=6)
    favourites = Favourites(tmp_path / "favourites.json")
    pictures = {picture.path.name: picture for picture in index.scan()}
    assert favourites.toggle(pictures["one.png"])
    os.utime(path, (7, 7))
    path.rename(folder / "renamed.png")
    later = Favourites(tmp_path / "favourites.json")
    found = index.scan()
    assert not [picture for picture in found if picture in later]
    later.follow(found)
    assert names([picture for picture in found if picture in later]) == ["renamed.png"]
    assert names([picture for picture in found if picture in Favourites(tmp_path / "favourites.json")]) == [
        "renamed.png"
    ]


def test_two_screens_mark_at_once(folder: Path, index: Gallery, tmp_path: Path) -> None:
    made(folder, "one.png")
    made(folder, "two.png")
    one, two = index.scan()
    first, second = Favourites(tmp_path / "favourites.json"), Favourites(tmp_path / "favourites.json")
    assert first.toggle(one)
    assert second.toggle(two)
    assert not first.toggle(one)
    marked = Favourites(tmp_path / "favourites.json")
    assert two in marked
    assert one not in marked


def test_damaged_marks_are_put_aside_and_unwritable_ones_told(folder: Path, index: Gallery, tmp_path: Path) -> None:
    made(folder, "one.png")
    picture = index.scan()[0]
    file = tmp_path / "favourites.json"
    file.write_text('[{"sha256": 1}, 7, {"path"')
    favourites = Favourites(file)
    assert picture not in favourites
    assert len(list(file.parent.glob("favourites.damaged-*.json"))) == 1
    assert favourites.toggle(picture)
    (tmp_path / "in-the-way").write_text("")
    with pytest.raises(Flux2Error, match="favourites can't be written"):
        Favourites(tmp_path / "in-the-way" / "favourites.json").toggle(picture)
