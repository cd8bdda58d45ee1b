"""The pictures that were handed in: copies, byte for byte, in this user's own store, each under its digest.

A copy is made when a picture is attached, so that it is there when its turn comes, wherever the file has gone by then.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from flux2.attachment import Attachment
from flux2.disk.atomic import write_atomically
from flux2.disk.private import check_own, make_private
from flux2.errors import RequestError
from flux2.paths import attachments_dir
from flux2.pictures.opening import opened_file, opened_picture

FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "AVIF", "MPO")
"""Pillow's names of the formats that are taken."""
_TURNED = (5, 6, 7, 8)
"""Values of EXIF's orientation that swap width and height."""
_ORIENTATION = 0x0112


def attach(path: Path) -> Attachment:
    """The picture at `path`, from now on in the store.

    Raises:
        Flux2Error: in one sentence if it is no picture, damaged, or can't be read.
        OSError: if the store can't be written.
    """
    with opened_file(path, "a picture") as file:
        content = file.read()
    with opened_picture(path, FORMATS) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
    return keep(content, Attachment(digest=digest_of(content), name=path.name, width=width, height=height))


def keep(content: bytes, attachment: Attachment) -> Attachment:
    """Put a picture's file into the store, unless it is there.

    Raises:
        OSError: if it can't be written.
    """
    place = place_of(attachment)
    if not is_kept(attachment):
        make_private(place.parent)
        write_atomically(place, content)
    return attachment


def digest_of(content: bytes) -> str:
    """An attachment's digest: SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def place_of(attachment: Attachment) -> Path:
    """Where its copy lies."""
    return attachments_dir() / attachment.digest


def is_kept(attachment: Attachment) -> bool:
    """Whether the store has it."""
    return place_of(attachment).is_file()


@contextlib.contextmanager
def opened_attachment(attachment: Attachment) -> Iterator[Image.Image]:
    """The picture, read up to its pixels.

    Raises:
        RequestError: in one sentence if the store has it no more, or it is damaged.
    """
    place = place_of(attachment)
    try:
        check_own(place)
    except OSError as error:
        raise RequestError(
            f"The picture {str(attachment)!r} that was attached is no more among those kept; attach it again."
        ) from error
    if digest_of(place.read_bytes()) != attachment.digest:
        raise RequestError(f"The kept copy of {str(attachment)!r} is damaged; attach the picture again.")
    with opened_picture(place, FORMATS) as image:
        yield image
