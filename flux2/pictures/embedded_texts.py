"""All texts in a picture: a PNG's text chunks, EXIF, XMP, comments; of PNG, JPEG and WebP.

Each text is read for itself, so that a damaged one hides no other. That is why a PNG's chunks are walked here: Pillow
refuses the whole file for one damaged text, and reads those behind the pixels only together with the pixels.

Sources: the PNG specification (third edition, 11.3.3), Exif 3.0 (4.6.6, UserComment) and XMP part 1.
"""

from __future__ import annotations

import os
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException
from PIL import ExifTags, Image

from flux2.errors import Flux2Error
from flux2.pictures.opening import DAMAGED, opened_file, opened_picture

MAX_TEXT = 4 << 20
"""Bytes of one text that is looked at."""
MAX_TEXTS = 256
"""Texts of one picture."""
MAX_ALL = 4 * MAX_TEXT
"""Characters of all texts of one picture."""
_MAX_CHUNKS = 1 << 16
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FORMATS = ("PNG", "JPEG", "WEBP")
_XMP = "XML:com.adobe.xmp"
_IMAGE_TAGS = ("ImageDescription", "Make", "Model", "Software", "XPTitle", "XPComment", "XPSubject", "XPKeywords")
_EXIF_TAGS = ("UserComment", "MakerNote")
_ENCODINGS = {b"ASCII\0\0\0": "utf-8", b"UNICODE\0": "utf-16", b"JIS\0\0\0\0\0": "utf-8", bytes(8): "utf-8"}
"""What a user comment's first eight bytes say; programs write UTF-8 where these say ASCII."""


@dataclass(slots=True)
class EmbeddedTexts:
    """What a picture says, whoever wrote it."""

    texts: list[tuple[str, str]] = field(default_factory=list)
    """Name and text, a name perhaps more than once: a PNG chunk's keyword, or such as `EXIF UserComment`,
    `XMP description`, `JPEG comment`."""
    damaged: list[str] = field(default_factory=list)
    """Names of those that can't be read, with the reason."""

    @property
    def full(self) -> bool:
        """Whether there are more texts than any program writes; the rest is not read."""
        characters = sum(len(text) for _, text in self.texts)
        return characters > MAX_ALL or len(self.texts) + len(self.damaged) >= MAX_TEXTS

    def add(self, name: str, text: str) -> None:
        if (text := text.strip("\0")).strip():
            self.texts.append((name, text))


def read_embedded_texts(path: Path) -> EmbeddedTexts:
    """All texts in the picture at `path`. The pixels are not decoded.

    What Pillow would warn of on standard error, such as EXIF that is cut short, it takes as far as it goes.

    Raises:
        Flux2Error: if it is no PNG, JPEG or WebP, or no file.
    """
    found = EmbeddedTexts()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if not _add_png(found, path):
            _add_jpeg_or_webp(found, path)
    return found


def _add_jpeg_or_webp(found: EmbeddedTexts, path: Path) -> None:
    with opened_picture(path, _FORMATS) as image:
        for marker, comment in getattr(image, "applist", ()):
            if marker == "COM":
                found.add("JPEG comment", _decoded(comment, "<"))
        if exif := image.info.get("exif"):
            _add_exif(found, exif)
        if xmp := image.info.get("xmp"):
            _add_xmp(found, _decoded(xmp, "<"))


# --- PNG --------------------------------------------------------------------------------------------------------------


def _add_png(found: EmbeddedTexts, path: Path) -> bool:
    """Whether the file is a PNG, whose texts are then taken."""
    with opened_file(path, "a PNG, JPEG or WEBP") as file:
        if file.read(len(_SIGNATURE)) != _SIGNATURE:
            return False
        if file.read(8)[4:] != b"IHDR":
            raise Flux2Error(f"{path} is a damaged PNG (it does not begin with its size); it was not read.")
        file.seek(len(_SIGNATURE))
        for name, text in _png_texts(file, found):
            found.add(name, text)
        return True


def _png_texts(file: BinaryIO, found: EmbeddedTexts) -> Iterator[tuple[str, str]]:
    for kind, body in _text_chunks(file, found):
        if found.full:
            found.damaged.append("the texts that follow (more than any program writes)")
            return
        if kind == b"eXIf":
            _add_exif(found, body)
            continue
        keyword, _, rest = body.partition(b"\0")
        name = keyword.decode("latin-1")
        try:
            text = _UNPACK[kind](rest)
        except (ValueError, zlib.error) as error:
            found.damaged.append(f"{name} ({error})")
            continue
        if name == _XMP:
            _add_xmp(found, text)
        elif name.lower() in ("raw profile type exif", "raw profile type app1"):
            _add_exif(found, _from_hex(text))
        else:
            yield name, text


def _text_chunks(file: BinaryIO, found: EmbeddedTexts) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks that may hold texts, those behind the pixels, too."""
    for _ in range(_MAX_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IEND":
            return
        if kind not in _UNPACK and kind != b"eXIf":
            file.seek(length + 4, os.SEEK_CUR)
        elif length > MAX_TEXT:
            found.damaged.append(f"a text of {length:,} bytes (longer than any settings)")
            file.seek(length + 4, os.SEEK_CUR)
        else:
            body, checksum = file.read(length), file.read(4)
            if checksum == struct.pack(">I", zlib.crc32(kind + body)):
                yield kind, body
            else:
                name = body.partition(b"\0")[0][:79].decode("latin-1")
                found.damaged.append(f"{name} (its checksum does not fit)")


def _unpack_itxt(rest: bytes) -> str:
    packed, method, after = rest[:1], rest[1:2], rest[2:]
    text = after.split(b"\0", 2)[-1]
    if packed == b"\1":
        text = _inflated(method + text)
    return _utf8_or_latin(text)


def _inflated(rest: bytes) -> bytes:
    """The text behind a byte that names the compression."""
    if rest[:1] != b"\0":
        raise ValueError("packed in an unknown way")
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(rest[1:], MAX_TEXT)
    if unpacker.unconsumed_tail or not unpacker.eof:
        raise ValueError("longer than any settings, or cut short")
    return text


_UNPACK = {
    b"tEXt": lambda rest: _utf8_or_latin(rest),
    b"zTXt": lambda rest: _utf8_or_latin(_inflated(rest)),
    b"iTXt": _unpack_itxt,
}


def _from_hex(profile: str) -> bytes:
    """ImageMagick's form of EXIF: a name, a length, and hexadecimal lines."""
    try:
        return bytes.fromhex("".join(profile.split()[2:]))
    except ValueError:
        return b""


# --- EXIF and XMP -----------------------------------------------------------------------------------------------------


def _add_exif(found: EmbeddedTexts, data: bytes) -> None:
    try:
        exif = Image.Exif()
        exif.load(data)
        order = getattr(exif, "endian", None) or "<"
        tags = [(name, exif, ExifTags.Base[name]) for name in _IMAGE_TAGS]
        tags += [(name, exif.get_ifd(ExifTags.IFD.Exif), ExifTags.Base[name]) for name in _EXIF_TAGS]  # type: ignore[misc]
    except (*DAMAGED, OSError) as error:
        found.damaged.append(f"EXIF ({error or 'cut short'})")
        return
    for name, values, tag in tags:
        try:
            value = values.get(tag)
        except (*DAMAGED, OSError) as error:
            found.damaged.append(f"EXIF {name} ({error or 'cut short'})")
            continue
        if isinstance(value, str):  # Pillow takes EXIF's ASCII for Latin-1
            found.add(f"EXIF {name}", _utf8_or_latin(value.encode("latin-1", "replace")))
        elif isinstance(value, bytes | tuple):
            found.add(f"EXIF {name}", _comment(name, bytes(value), order))


def _comment(name: str, data: bytes, order: str) -> str:
    if name.startswith("XP"):
        return data.decode("utf-16-le", "replace")
    if data[:8] in _ENCODINGS:
        return _decoded(data[8:], order, said=_ENCODINGS[data[:8]])
    return _decoded(data, order)


def _add_xmp(found: EmbeddedTexts, packet: str) -> None:
    """Every property of the packet by its plain name, whether it was written as an attribute or as an element."""
    try:
        root = ElementTree.fromstring(packet.strip("\0\ufeff \t\r\n"))
    except DefusedXmlException:
        found.damaged.append("XMP (it has entities of its own, which are not read)")
        return
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        found.damaged.append(f"XMP ({error})")
        return
    for element in root.iter():
        if element.tag.rpartition("}")[2] == "Description":
            for name, value in element.items():
                found.add(f"XMP {name.rpartition('}')[2]}", value)
            for item in element:
                found.add(f"XMP {item.tag.rpartition('}')[2]}", "".join(item.itertext()).strip())


# --- bytes ------------------------------------------------------------------------------------------------------------


def _utf8_or_latin(data: bytes) -> str:
    """A text of one byte a character, as PNG and EXIF have it, or of UTF-8, as many programs write it."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _decoded(data: bytes, order: str, said: str = "utf-8") -> str:
    """A comment's text in what it is really written in: programs differ in mark, byte order and name.

    Settings are mostly ASCII, of which UTF-16 makes every other byte zero: that shows it, and its byte order.

    Args:
        order: "<" or ">", the byte order of the EXIF around it, for UTF-16 without any zero.
        said: what its first bytes call it.
    """
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    data = data.rstrip(b"\0")  # some programs fill a buffer
    big, little = data[0::2].count(0), data[1::2].count(0)
    if max(big, little) * 8 > len(data):
        return data.decode("utf-16-be", "replace") if big > little else (data + b"\0").decode("utf-16-le", "ignore")
    if said == "utf-16":
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("utf-16-le" if order == "<" else "utf-16-be", "replace")
    return _utf8_or_latin(data)
