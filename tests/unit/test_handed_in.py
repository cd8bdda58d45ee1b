"""A picture's file is read to its end before anything is made of it, whoever hands it in and whatever it is."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image, features

from flux2.errors import Flux2Error
from flux2.inputs.attachment import MAX_NAME, check_attachment
from flux2.pictures import handed_in
from flux2.pictures.attachments import described
from flux2.pictures.handed_in import read_handed_in, told_name

NEEDED = {"AVIF": "avif", "WEBP": "webp", "JPEG2000": "jpg_2000"}
"""Features of Pillow that some formats need."""
CAN_BE_WRITTEN = sorted({*handed_in.FORMATS, "MPO"} - {"PSD", "QOI"})


@pytest.mark.parametrize("name", CAN_BE_WRITTEN)
def test_a_picture_of_any_format_is_taken(tmp_path: Path, name: str) -> None:
    if name in NEEDED and not features.check(NEEDED[name]):
        pytest.skip(f"this Pillow has no {name}")
    path = tmp_path / "picture"  # whatever its name says, or does not
    Image.linear_gradient("L").resize((128, 128)).convert("RGB").save(path, name)
    assert read_handed_in(path).size == (128, 128)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("GIF", {"duration": 50, "loop": 0}, "x has 3 frames; the first is taken."),
        ("PNG", {}, "x has 3 frames; the first is taken."),
        ("WEBP", {"lossless": True}, "x has 3 frames; the first is taken."),
        ("TIFF", {}, "x has 3 pages; the first is taken."),
        ("MPO", {}, ""),
    ],
)
def test_of_several_pictures_in_a_file_the_first_is_taken_and_that_is_said(
    tmp_path: Path, name: str, options: dict[str, object], said: str
) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "x", name, save_all=True, append_images=frames[1:], **options)  # type: ignore[arg-type]
    heard: list[str] = []
    read_handed_in(tmp_path / "x", heard.append)
    assert "".join(heard) == said


def png_of(width: int, height: int) -> bytes:
    """A PNG's beginning that promises so many pixels, and has none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 64)) + chunk(b"IEND", b"")
    )


def cut(path: Path) -> bytes:
    Image.effect_noise((128, 128), 50).save(path, "JPEG")
    return path.read_bytes()[:-2000]


HOSTILE: dict[str, tuple[bytes | Callable[[Path], bytes], str]] = {
    "nothing": (b"", "is empty"),
    "text": (b"no picture", "can't be read: it is not a"),
    "half": (cut, "only a part of one"),
    "less than it says": (png_of(100, 100), "can't be read|damaged"),
    "a bomb": (png_of(30_000, 30_000), "dangerous"),
    "too large": (png_of(12_000, 12_000), "12000×12000 pixels, and 100 Mi are the most"),
    "HEIC": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "is HEIC, which is not read here; save it as JPEG"),
    "PDF": (b"%PDF-1.7\n", "is PDF"),
    "SVG": (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG"),
    "bare SVG": (b"\n <svg width='9'/>", "is SVG"),
    "PostScript, which another program would run": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "PostScript"),
    "a film": (b"\0\0\0\x20ftypisom\0\0\x02\0", "is a film"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_is_no_picture_of_use_is_refused_in_a_sentence(tmp_path: Path, case: str) -> None:
    made, said = HOSTILE[case]
    path = tmp_path / "x.png"
    path.write_bytes(made if isinstance(made, bytes) else made(path))
    with pytest.raises(Flux2Error, match=said) as refused:
        read_handed_in(path)
    assert str(refused.value).startswith(f"{path} ") and "\n" not in str(refused.value)


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        for place, said in {
            tmp_path: "folder",
            tmp_path / "pipe": "pipe",
            tmp_path / "socket": "no file",
            Path("/dev/zero"): "device",
            tmp_path / "gone": "No such file",
            tmp_path / "a\0b": "null",
        }.items():
            with pytest.raises(Flux2Error, match=said):
                read_handed_in(place)


def test_a_link_is_followed(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "x.png")
    (tmp_path / "link").symlink_to("x.png")
    assert read_handed_in(tmp_path / "link").size == (64, 64)


@pytest.mark.parametrize("name", [b"\xff\xfe.png", b"a\nb.png", b"\x1b[31m.png", "ä" * 120 + ".png", b"\xff" * 250])
def test_a_name_of_any_bytes_can_be_told_and_sent(tmp_path: Path, name: bytes | str) -> None:
    path = tmp_path / os.fsdecode(name)
    Image.new("RGB", (64, 64)).save(path, "PNG")
    attachment = described(path, read_handed_in(path))
    assert check_attachment("source", attachment) is None
    assert len(told_name(path, MAX_NAME).encode()) <= MAX_NAME
