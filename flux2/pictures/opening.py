"""The one way in which a picture's file is opened: whoever made it, and whatever lies under its path."""

from __future__ import annotations

import contextlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from flux2.errors import Flux2Error

MAX_FILE = 128 * 2**20
"""Bytes; the largest picture a request can ask for is 48 MiB uncompressed."""
DAMAGED = (ValueError, TypeError, LookupError, AttributeError, SyntaxError, EOFError, struct.error, zlib.error)
"""What Pillow raises for damaged files, besides OSError."""
_NAMED = 5  # formats in a sentence
_SPECIAL = {
    stat.S_ISDIR: "it is a folder",
    stat.S_ISFIFO: "it is a pipe",
    stat.S_ISCHR: "it is a device",
    stat.S_ISBLK: "it is a device",
}


@contextlib.contextmanager
def opened_file(path: Path, expected: str = "a picture") -> Iterator[BinaryIO]:
    """The regular file at `path`; pipes and devices, on which one would wait for ever, are not waited for.

    Args:
        expected: what should be there instead, for the sentence.

    Raises:
        Flux2Error: if it can't be opened, is no file, or is larger than `MAX_FILE`.
    """
    try:
        _check(path.stat(), path, expected)  # before opening: that alone does something to a pipe or a tape
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        raise Flux2Error(f"{path} can't be read: {reason}; give the path of {expected}.") from error
    try:
        _check(os.fstat(descriptor), path, expected)
    except Flux2Error:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _check(status: os.stat_result, path: Path, expected: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        reason = next((said for is_one, said in _SPECIAL.items() if is_one(status.st_mode)), "it is no file")
        raise Flux2Error(f"{path} can't be read: {reason}; give the path of {expected}.")
    if status.st_size > MAX_FILE:
        raise Flux2Error(f"{path} is larger than any picture of ours ({MAX_FILE >> 20} MiB); it was not read.")


@contextlib.contextmanager
def opened_picture(path: Path, formats: Sequence[str] = ("PNG",)) -> Iterator[Image.Image]:
    """The picture, read up to its pixels.

    Args:
        formats: Pillow's names of those that are read.

    Raises:
        Flux2Error: in one sentence whatever is wrong with it.
    """
    with opened_file(path, _expected(formats)) as file, decoded(file, path, formats) as image:
        yield image


@contextlib.contextmanager
def decoded(file: BinaryIO, name: object, formats: Sequence[str]) -> Iterator[Image.Image]:
    """The picture in a file that is open already, read up to its pixels; what its user's reading of them raises is told
    like this function's own.

    Args:
        name: of the file, for people.

    Raises:
        Flux2Error: in one sentence whatever is wrong with it.
    """
    names = _listed(formats)
    try:
        with Image.open(file, formats=list(formats)) as image:
            yield image
    except OSError as error:
        reason = error.strerror or f"it is not a {names}, or only a part of one"
        raise Flux2Error(f"{name} can't be read: {reason}; give the path of {_expected(formats)}.") from error
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise Flux2Error(f"{name} is a damaged or dangerous {names} ({error}); it was not read.") from error


def _listed(formats: Sequence[str]) -> str:
    if len(formats) > _NAMED:
        return f"{', '.join(formats[:_NAMED])} or the like"
    return "PNG" if len(formats) == 1 else f"{', '.join(formats[:-1])} or {formats[-1]}"


def _expected(formats: Sequence[str]) -> str:
    return "a PNG made by flux2" if len(formats) == 1 else f"a {_listed(formats)}"
