"""A picture's file as somebody hands it in: read whole, and every pixel of it, before anything is made of it."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flux2.errors import Flux2Error
from flux2.pictures.opening import decoded, opened_file

FORMATS = (
    *("PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM", "QOI", "PSD", "ICO", "SGI"),
    *("PCX", "DDS"),
)
"""Pillow's names of the formats that are taken. Of those that it also knows, some start another program (EPS, WMF),
some are no pictures of ours (FITS, GRIB), and some are told by so little that anything is taken for one (TGA). MPO, a
camera's several JPEGs in one, is a JPEG."""
MOST_PIXELS = 100 * 2**20
"""Pixels of one picture: the largest cameras' have as many, and it is held in memory as a whole."""

_AS_JPEG = "save it as JPEG (on a Mac: sips -s format jpeg FILE --out fox.jpg)"
_AS_FRAME = "save one picture of it as PNG"
_NOT_TAKEN = {
    b"ftyphei": ("HEIC", _AS_JPEG),
    b"ftyphev": ("HEIC", _AS_JPEG),
    b"ftypmif1": ("HEIF", _AS_JPEG),
    b"%PDF": ("PDF", "save the page as PNG"),
    b"%!PS": ("PostScript", "save it as PNG"),
    b"<svg": ("SVG", "save it as PNG, at the size that it is to have"),
    b"\xff\x0a": ("JPEG XL", "save it as PNG"),
    b"JXL \r\n": ("JPEG XL", "save it as PNG"),
    b"ftypqt": ("a film", _AS_FRAME),
    b"ftypisom": ("a film", _AS_FRAME),
    b"ftypmp42": ("a film", _AS_FRAME),
    b"\x1aE\xdf\xa3": ("a film", _AS_FRAME),
}
"""What people hand in and is not taken, by a mark at its beginning, after a length, or behind XML's: what it is, and
what would do."""
_HEAD = 512  # bytes in which XML says what it is
_TURNED = (5, 6, 7, 8)
"""Values of EXIF's orientation that swap width and height."""
_ORIENTATION = 0x0112
_PAGES = {"TIFF": "pages", "PSD": "layers", "ICO": "sizes"}
"""What several pictures in a file of a format are called, where they are no frames."""
_ALSO_ITS_PREVIEWS = ("MPO",)
"""Formats whose other pictures are the camera's, and nobody's business."""

warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MOST_PIXELS is ours, and warnings spoil a screen


@dataclass(frozen=True, slots=True)
class HandedIn:
    """A file that can be read to its end."""

    content: bytes
    size: tuple[int, int]
    """Width and height as people see it, pixels: a photograph that lies on its side in the file has been turned."""


def read_handed_in(path: Path, say: Callable[[str], None] = lambda _: None) -> HandedIn:
    """The picture at `path`.

    Args:
        say: told, a sentence each, what of the file is not taken.

    Raises:
        Flux2Error: in one sentence if it is no picture, damaged, too large, or can't be read.
    """
    with opened_file(path, "a picture") as file:
        content = file.read()
    if not content:
        raise Flux2Error(f"{path} is empty; give the path of a picture.")
    try:
        return HandedIn(content, _read(content, path, say))
    except Flux2Error as error:
        raise _explained(content, path) or error from error


def _read(content: bytes, path: Path, say: Callable[[str], None]) -> tuple[int, int]:
    """Read every pixel; returns the size that people see."""
    with decoded(io.BytesIO(content), path, FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Flux2Error(
                f"{path} has {width}×{height} pixels, and {MOST_PIXELS >> 20} Mi are the most; make it smaller first."
            )
        frames = getattr(image, "n_frames", 1)
        if frames > 1 and image.format not in _ALSO_ITS_PREVIEWS:
            say(f"{path.name} has {frames} {_PAGES.get(image.format or '', 'frames')}; the first is taken.")
            image.seek(0)
        image.load()
        return seen_size(image)


def seen_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as people see it, pixels."""
    width, height = image.size
    return (height, width) if image.getexif().get(_ORIENTATION) in _TURNED else (width, height)


def told_name(path: Path, most_bytes: int) -> str:
    """A file's name as it can be told and sent: bytes that are no UTF-8 are replaced, one that is too long is cut."""
    name = os.fsencode(path.name).decode("utf-8", "replace")
    return name.encode()[:most_bytes].decode("utf-8", "ignore")


def _explained(content: bytes, path: Path) -> Flux2Error | None:
    """What a file is that could not be read, where people know it by a name."""
    head = content[:_HEAD].lstrip()
    for mark, (name, remedy) in _NOT_TAKEN.items():
        if head.startswith(mark) or head[4:].startswith(mark) or (head.startswith(b"<?xml") and mark in head):
            return Flux2Error(f"{path} is {name}, which is not read here; {remedy}.")
    return None
