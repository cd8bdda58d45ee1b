"""Texts in pictures, wherever programs put them: each is found, and a damaged one hides no other."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from flux2.errors import Flux2Error
from flux2.pictures import embedded_texts
from flux2.pictures.embedded_texts import read_embedded_texts
from flux2.pictures.foreign.reading import read_settings_of
from tests.unit.foreign_pictures import PICTURE, exif

SETTINGS = "a red fox, größer\nNegative prompt: blurry\nSteps: 20, CFG scale: 4, Seed: 42, Size: 768x512"
VALUES = {
    "prompt": "a red fox, größer",
    "negative_prompt": "blurry",
    "steps": 20,
    "guidance": 4.0,
    "seed": 42,
    "width": 768,
    "height": 512,
}
UTF_16_BE, UTF_16_LE = SETTINGS.encode("utf-16-be"), SETTINGS.encode("utf-16-le")
BAD = b"\xff" * 40
XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:exif="http://ns.adobe.com/exif/1.0/" {}>{}</rdf:Description></rdf:RDF></x:xmpmeta>"""
ELEMENT = "<exif:UserComment><rdf:Alt><rdf:li xml:lang='x-default'>{}</rdf:li></rdf:Alt></exif:UserComment>"


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(*before: bytes, behind: tuple[bytes, ...] = ()) -> bytes:
    """A PNG with chunks of one's own before and behind its pixels."""
    file = io.BytesIO()
    PICTURE.save(file, "PNG")
    plain = file.getvalue()
    pixels, end = plain.index(b"IDAT") - 4, plain.index(b"IEND") - 4
    return plain[:pixels] + b"".join(before) + plain[pixels:end] + b"".join(behind) + plain[end:]


@pytest.mark.parametrize("image_format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    "comment",
    [
        b"UNICODE\0" + UTF_16_BE,
        b"UNICODE\0" + UTF_16_LE,
        b"UNICODE\0\xfe\xff" + UTF_16_BE,
        b"UNICODE\0\xff\xfe" + UTF_16_LE,
        b"UNICODE\0" + SETTINGS.encode(),
        b"ASCII\0\0\0" + SETTINGS.encode(),
        b"ASCII\0\0\0" + SETTINGS.encode("latin-1") + bytes(300),
        b"JIS\0\0\0\0\0" + SETTINGS.encode(),
        bytes(8) + SETTINGS.encode(),
        SETTINGS.encode(),
        b"\xef\xbb\xbf" + SETTINGS.encode(),
        UTF_16_LE,
        b"\xfe\xff" + UTF_16_BE,
    ],
    ids=lambda comment: repr(comment[:12]),
)
def test_user_comments_in_every_encoding(tmp_path: Path, image_format: str, comment: bytes) -> None:
    PICTURE.save(tmp_path / "x", image_format, exif=exif(comment))
    assert read_settings_of(tmp_path / "x").values == VALUES


def hex_profile(data: bytes) -> bytes:
    return b"Raw profile type exif\0\0" + zlib.compress(b"\nexif\n  %d\n%s\n" % (len(data), data.hex().encode()))


_LATIN, _UTF8 = SETTINGS.encode("latin-1"), SETTINGS.encode()
_EXIF = exif(b"ASCII\0\0\0" + _UTF8).tobytes()


@pytest.mark.parametrize(
    "made",
    [
        chunk(b"tEXt", b"parameters\0" + _LATIN),
        chunk(b"tEXt", b"parameters\0" + _UTF8),
        chunk(b"zTXt", b"parameters\0\0" + zlib.compress(_LATIN)),
        chunk(b"iTXt", b"parameters\0\0\0de\0Parameter\0" + _UTF8),
        chunk(b"iTXt", b"parameters\0\1\0\0\0" + zlib.compress(_UTF8)),
        chunk(b"eXIf", _EXIF.removeprefix(b"Exif\0\0")),
        chunk(b"eXIf", _EXIF),
        chunk(b"zTXt", hex_profile(_EXIF)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP.format("", ELEMENT.format(SETTINGS)).encode()),
    ],
    ids=["tEXt", "tEXt UTF-8", "zTXt", "iTXt", "iTXt packed", "eXIf", "eXIf with a name", "raw profile", "XMP"],
)
def test_every_kind_of_chunk_before_and_behind_the_pixels(tmp_path: Path, made: bytes) -> None:
    for content in (png_of(made), png_of(behind=(made,))):
        (tmp_path / "x.png").write_bytes(content)
        assert read_settings_of(tmp_path / "x.png").values == VALUES


def test_comments_of_jpeg_and_attributes_of_xmp(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.jpg", comment=SETTINGS.encode())
    assert read_settings_of(tmp_path / "a.jpg").values == VALUES
    attribute = 'exif:UserComment="{}"'.format(SETTINGS.replace("\n", "&#10;"))
    PICTURE.save(tmp_path / "b.webp", xmp=XMP.format(attribute, "").encode())
    assert read_settings_of(tmp_path / "b.webp").values == VALUES


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (chunk(b"tEXt", b"prompt\0{broken")[:-4] + b"0000", "prompt (its checksum"),
        (chunk(b"tEXt", b'prompt\0{"1": {"class_type"'), "prompt, which is damaged"),
        (chunk(b"tEXt", b"prompt\0a plain text"), "prompt “a plain text”"),
        (chunk(b"zTXt", b"prompt\0\0" + zlib.compress(b" " * (5 << 20))), "prompt (longer than"),
        (chunk(b"zTXt", b"prompt\0\0garbage"), "prompt (Error -3"),
        (chunk(b"zTXt", b"prompt\0\7garbage"), "prompt (packed in an unknown way"),
        (chunk(b"iTXt", b"prompt\0\0\0\0\0" + BAD), "prompt “ÿÿÿ"),
        (chunk(b"iTXt", b"Comment"), ""),
        (chunk(b"tEXt", b"x" * (5 << 20)), "a text of 5,242,880 bytes"),
        (chunk(b"eXIf", b"MM\0*\0\0"), "EXIF ("),
        (chunk(b"eXIf", BAD), "EXIF ("),
        (chunk(b"eXIf", exif(b"ASCII\0\0\0Screenshot").tobytes()), "EXIF UserComment “Screenshot”"),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<x:unclosed"), "XMP ("),
        (chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"), "XMP ("),
        (chunk(b"tEXt", b'parameters\0{"a program": "of tomorrow"}'), "parameters “{"),
        (chunk(b"tEXt", b'flux2\0{"prompt": 5}'), "flux2, which is damaged"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_one_bad_text_hides_no_good_one_and_is_named(tmp_path: Path, bad: bytes, named: str) -> None:
    good = chunk(b"tEXt", b"parameters\0" + _LATIN)
    for content in (png_of(bad, good), png_of(good, behind=(bad,))):
        (tmp_path / "x.png").write_bytes(content)
        found = read_settings_of(tmp_path / "x.png")
        assert found.values == VALUES
        assert named in " / ".join(found.not_understood)
    (tmp_path / "x.png").write_bytes(png_of(bad))
    with pytest.raises(Flux2Error, match="says nothing about how it was made"):
        read_settings_of(tmp_path / "x.png")


def test_a_flood_of_texts_is_read_up_to_a_bound(tmp_path: Path) -> None:
    bomb = chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * embedded_texts.MAX_TEXT, 9))
    (tmp_path / "x.png").write_bytes(png_of(*[bomb] * 50))
    found = read_embedded_texts(tmp_path / "x.png")
    assert len(found.texts) <= embedded_texts.MAX_ALL // embedded_texts.MAX_TEXT + 1
    (tmp_path / "x.png").write_bytes(png_of(*[chunk(b"tEXt", b"a\0b")] * 3000))
    assert len(read_embedded_texts(tmp_path / "x.png").texts) == embedded_texts.MAX_TEXTS


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a PNG, JPEG or WEBP"),
        (b"GIF89a", "not a PNG, JPEG or WEBP"),
        (b"\xff\xd8\xff", "PNG, JPEG or WEBP"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "PNG, JPEG or WEBP"),
        (b"\x89PNG\r\n\x1a\n" + BAD, "damaged PNG"),
    ],
)
def test_what_is_no_picture_is_a_sentence(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(Flux2Error, match=said):
        read_settings_of(tmp_path / "x.png")


def test_pipes_devices_folders_and_nothing_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.png")
    cases = [(tmp_path / "fifo.png", "a pipe"), (Path("/dev/zero"), "a device"), (tmp_path, "a folder")]
    for path, said in [*cases, (tmp_path / "gone.png", "No such file"), (Path("/nul\0"), "null")]:
        with pytest.raises(Flux2Error, match=said):
            read_settings_of(path)


def test_pixels_are_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PICTURE.save(tmp_path / "x.jpg", comment=SETTINGS.encode())
    monkeypatch.setattr(Image.Image, "load", lambda _: pytest.fail("decoded"))
    assert read_settings_of(tmp_path / "x.jpg").values == VALUES
