"""PNGs: what they say, under which name, and that they are whole or absent."""

from __future__ import annotations

import errno
import json
import os
import struct
import tempfile
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flux2.errors import Flux2Error, PictureNotSavedError, RequestError
from flux2.pictures import image_metadata, images, opening
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import check_writable, default_path, output_path, read_metadata, rescue, save_png
from flux2.request import GenerationRequest

REQUEST = GenerationRequest(
    prompt="a red fox in the snow",
    negative_prompt="blur",
    model="pocket",
    quantization="int4",
    width=320,
    height=192,
    steps=4,
    guidance=1.0,
    seed=42,
)
METADATA = ImageMetadata(request=REQUEST, timings={"encode": 0.5, "denoise": 1.25}, peaks={"encode": 3 * 2**30})
PICTURE = Image.new("RGB", (32, 16), (200, 90, 30))
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def test_settings_come_back(tmp_path: Path) -> None:
    saved = save_png(PICTURE, tmp_path / "fox.png", METADATA)
    assert read_metadata(saved) == METADATA
    assert METADATA.versions.keys() == {"flux2-tui", "python", "mlx"}


def test_pixels_and_common_parameters(tmp_path: Path) -> None:
    with Image.open(save_png(PICTURE, tmp_path / "fox.png", METADATA)) as image:
        assert image.tobytes() == PICTURE.tobytes()
        assert image.info["parameters"] == (
            "a red fox in the snow\nNegative prompt: blur\nSteps: 4, Sampler: Euler, CFG scale: 1.0, Seed: 42, "
            f"Size: 320x192, Model: pocket, Quantization: int4, Version: {image_metadata.SOFTWARE}"
        )
        assert image.info["Software"] == image_metadata.SOFTWARE


def test_says_that_it_is_generated(tmp_path: Path) -> None:
    request = replace(REQUEST, prompt='a "sign" <that> says & rings\x07')
    with Image.open(save_png(PICTURE, tmp_path / "fox.png", ImageMetadata(request=request))) as image:
        xmp = ET.fromstring(image.info["xmp"].decode().partition("?>")[2].rpartition("<?")[0])
        assert json.loads(image.info["flux2"])["ai_generated"] is True
    assert xmp.find(f".//{IPTC}DigitalSourceType").text == image_metadata.DIGITAL_SOURCE_TYPE
    assert xmp.find(f".//{IPTC}AIPromptInformation").text == 'a "sign" <that> says & rings'
    assert xmp.find(f".//{IPTC}AISystemUsed").text == "pocket (int4)"


@given(
    prompt=st.text(min_size=1),
    negative=st.none() | st.text(),
    seed=st.integers(0, 2**32 - 1),
    peaks=st.dictionaries(st.text(), st.integers(0)),
    timings=st.dictionaries(st.text(), st.floats(0, allow_infinity=False)),
)
@settings(max_examples=60, deadline=None)
def test_any_settings_come_back(
    prompt: str, negative: str | None, seed: int, peaks: dict[str, int], timings: dict[str, float]
) -> None:
    request = replace(REQUEST, prompt=prompt, negative_prompt=negative, seed=seed)
    metadata = ImageMetadata(request=request, peaks=peaks, timings=timings)
    with tempfile.TemporaryDirectory() as folder:
        path = default_path(Path(folder), request, seed)
        assert read_metadata(save_png(PICTURE, path, metadata)) == metadata


def test_an_argument_that_was_not_utf8_comes_back(tmp_path: Path) -> None:
    metadata = ImageMetadata(request=replace(REQUEST, prompt="fox \udcff\\"))
    assert read_metadata(save_png(PICTURE, tmp_path / "fox.png", metadata)) == metadata


@pytest.mark.parametrize(
    ("model", "written"),
    [
        ("klein-4b", "klein-4b"),
        ("black-forest-labs/FLUX.2-klein-4B", "black-forest-labs/FLUX.2-klein-4B"),
        ("/home/someone/models/mine", "mine"),
        ("~/models/mine", "mine"),
        ("./mine", "mine"),
    ],
)
def test_private_paths_stay_private(tmp_path: Path, model: str, written: str) -> None:
    metadata = ImageMetadata(request=replace(REQUEST, model=model, vae=model, output=str(tmp_path / "fox.png")))
    saved = save_png(PICTURE, tmp_path / "fox.png", metadata)
    assert read_metadata(saved).request.model == written
    assert b"someone" not in saved.read_bytes()
    assert bytes(tmp_path) not in saved.read_bytes()


def test_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_text("mine")
    saved = [save_png(PICTURE, tmp_path / "fox.png", METADATA).name for _ in range(2)]
    assert saved == ["fox-2.png", "fox-3.png"]
    assert (tmp_path / "fox.png").read_text() == "mine"


def test_never_overwrites_where_there_are_no_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    test_never_overwrites(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fox-2.png", "fox-3.png", "fox.png"]
    assert read_metadata(tmp_path / "fox-2.png") == METADATA


def test_makes_the_folder_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "fox.png"
    check_writable(path)
    assert not list(path.parent.iterdir())
    save_png(PICTURE, path, METADATA)
    assert [entry.name for entry in path.parent.iterdir()] == ["fox.png"]


def test_file_mode_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        saved = save_png(PICTURE, tmp_path / "fox.png", METADATA)
    finally:
        os.umask(before)
    assert saved.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only"), (errno.EIO, os.strerror(errno.EIO))],
)
def test_a_refusal_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    def refuse(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(Flux2Error, match=said) as told:
        save_png(PICTURE, tmp_path / "fox.png", METADATA)
    assert "fox.png" in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_a_file_is_refused_beforehand(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "fox.png", tmp_path / "file" / "deeper" / "fox.png"):
        with pytest.raises(Flux2Error, match="a part of that path is a file"):
            check_writable(path)


@given(prompt=st.text(), seed=st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_names_are_plain_and_stay_in_the_folder(prompt: str, seed: int) -> None:
    path = default_path(Path("folder"), replace(REQUEST, prompt=prompt), seed)
    assert path.parent == Path("folder")
    assert path.name.isascii() and len(path.name) <= images.MAX_SLUG + 15
    assert not path.name.startswith((".", "-"))
    assert set(path.name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.")


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A red fox, in the snow!", "a-red-fox-in-the-snow-7.png"),
        ("Füchse über Köln", "fuchse-uber-koln-7.png"),
        ("../../etc/passwd", "etc-passwd-7.png"),
        ("狐", "image-7.png"),
        ("word " * 40, "word-word-word-word-word-word-word-word-word-word-word-word-7.png"),
        ("x" * 300, "x" * images.MAX_SLUG + "-7.png"),
    ],
)
def test_default_names(prompt: str, name: str) -> None:
    assert default_path(Path(), replace(REQUEST, prompt=prompt), 7).name == name


def test_chosen_names(tmp_path: Path) -> None:
    def chosen(name: str) -> str:
        return str(output_path(name, Path("here"), REQUEST, 7))

    assert chosen("") == "here/a-red-fox-in-the-snow-7.png"
    assert chosen("fox.png") == "fox.png"
    assert chosen("fox.PNG") == "fox.PNG"
    assert chosen("fox v1.5") == "fox v1.5.png"
    assert chosen("new/") == "new/a-red-fox-in-the-snow-7.png"
    assert chosen(str(tmp_path)) == str(tmp_path / "a-red-fox-in-the-snow-7.png")
    assert chosen("~/fox") == str(Path.home() / "fox.png")
    with pytest.raises(RequestError, match=r"not \.jpg; call it fox\.png"):
        chosen("fox.jpg")
    with pytest.raises(Flux2Error, match="the name is too long"):
        chosen("x" * 5000)


def _png(*chunks: tuple[bytes, bytes], width: int = 1, height: int = 1) -> bytes:
    header = (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = (b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in (header, *chunks, pixels, (b"IEND", b""))
    )


_BOMB = zlib.compress(b"a" * (3 * 2**20))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a PNG"),
        (b"hello", "not a PNG"),
        (_png(), "carries no settings"),
        (_png((b"zTXt", b"flux2\0\0" + _BOMB)), "dangerous.*MAX_TEXT_CHUNK"),
        (_png((b"iTXt", b"flux2\0\1\0\0\0" + _BOMB)), "dangerous.*MAX_TEXT_CHUNK"),
        (_png(width=60_000, height=60_000), "dangerous"),
        (_png((b"tEXt", b"flux2\0{]")), "damaged"),
        (_png((b"tEXt", b"flux2\0" + b"[" * 100_000)), "damaged"),
        (_png((b"tEXt", b"flux2\0[]")), "damaged: not an object"),
        (_png((b"tEXt", b"flux2\0{}")), "no prompt"),
        (_png((b"tEXt", b'flux2\0{"prompt": "fox", "width": "wide"}')), "width is 'wide'"),
        (_png((b"tEXt", b'flux2\0{"prompt": "fox", "peaks": [1]}')), "peaks is"),
        (_png((b"tEXt", b'flux2\0{"prompt": "fox"}'))[:60], "not a PNG"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_from_anywhere_are_refused_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "foreign.png"
    path.write_bytes(content)
    with pytest.raises(Flux2Error, match=said):
        read_metadata(path)


def test_a_missing_file_and_a_huge_one(tmp_path: Path) -> None:
    with pytest.raises(Flux2Error, match="No such file"):
        read_metadata(tmp_path / "gone.png")
    huge = tmp_path / "huge.png"
    with huge.open("wb") as file:
        file.truncate(opening.MAX_FILE + 1)
    with pytest.raises(Flux2Error, match="larger than any picture"):
        read_metadata(huge)


def test_fields_of_later_versions_are_ignored(tmp_path: Path) -> None:
    path = tmp_path / "later.png"
    path.write_bytes(_png((b"tEXt", b'flux2\0{"prompt": "fox", "schema": 9, "sparkle": true}')))
    assert read_metadata(path).request == GenerationRequest(prompt="fox", noise="mlx")


def test_pixels_come_back(tmp_path: Path) -> None:
    saved = save_png(PICTURE, tmp_path / "fox.png", METADATA)
    assert images.read_pixels(saved).tobytes() == PICTURE.tobytes()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (_png(width=64, height=64), "only a part"),
        (_png().replace(zlib.compress(b"\0\0"), b"x" * len(zlib.compress(b"\0\0"))), "damaged|only a part"),
        (_png(width=9000, height=9000), "9000×9000 pixels"),
    ],
    ids=["cut off", "not compressed", "huge"],
)
def test_damaged_and_huge_pixels_are_refused_in_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "foreign.png"
    path.write_bytes(content)
    with pytest.raises(Flux2Error, match=said):
        images.read_pixels(path)


def test_a_picture_that_can_not_be_saved_is_saved_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    (tmp_path / "file").write_text("")
    with pytest.raises(PictureNotSavedError) as caught:
        save_png(Image.new("RGB", (16, 16)), tmp_path / "file" / "fox.png", None)
    saved = tmp_path / "home" / "state" / "unsaved" / "fox.png"
    assert str(rescue(caught.value)).endswith(f"It was saved as {saved}.")
    assert Image.open(saved).size == (16, 16)

    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert str(rescue(caught.value)).endswith(f"It was saved as {tmp_path / 'fox.png'}.")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    assert rescue(caught.value) is caught.value

    def none() -> str:
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    assert rescue(caught.value) is caught.value
