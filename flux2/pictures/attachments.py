"""The pictures that were handed in: copies, byte for byte, in this user's own store, each under its digest.

A copy is made when a picture is attached, so that it is there when its turn comes, wherever the file has gone by then.
`flux2.pictures.attachment_keeping` says how long it stays.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from PIL import Image, ImageChops, ImageOps

from flux2.disk.atomic import write_atomically
from flux2.disk.private import check_own, make_private
from flux2.errors import Flux2Error, RequestError
from flux2.inputs.attachment import MAX_NAME, Attachment
from flux2.paths import attachments_dir
from flux2.pictures.attachment_keeping import make_room
from flux2.pictures.handed_in import FORMATS, HandedIn, read_handed_in, seen_size, told_name
from flux2.pictures.opening import decoded

Say = Callable[[str], None]
_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room",
    errno.EDQUOT: "your quota is used up; make room",
    errno.EROFS: "the disk is read-only; set FLUX2_HOME elsewhere",
    errno.EACCES: "you may not write there; set FLUX2_HOME elsewhere",
    errno.EPERM: "you may not write there; set FLUX2_HOME elsewhere",
}


def _say_nothing(_: str) -> None:
    return


def attach(path: Path, say: Say = _say_nothing) -> Attachment:
    """The picture at `path`, from now on in the store.

    Args:
        say: told, a sentence each, what of the file is not taken.

    Raises:
        Flux2Error: in one sentence if it is no picture, damaged, can't be read, or the store can't be written.
    """
    found = read_handed_in(path, say)
    return _kept(found.content, described(path, found))


def described(path: Path, found: HandedIn) -> Attachment:
    """What a request says of a picture at `path`, whether it is in the store or not."""
    width, height = found.size
    return Attachment(digest=digest_of(found.content), name=told_name(path, MAX_NAME), width=width, height=height)


def attach_alpha(path: Path, say: Say = _say_nothing) -> Attachment:
    """The mask that the transparency of the picture at `path` is: white where it is transparent, black where not.

    Raises:
        Flux2Error: as `attach`; RequestError if nothing of the picture is transparent.
    """
    found = read_handed_in(path, say)
    with decoded(io.BytesIO(found.content), path, FORMATS) as image:
        seen = ImageOps.exif_transpose(image)
        alpha = seen.convert("RGBA").getchannel("A") if seen.has_transparency_data else None
    if alpha is None or alpha.getextrema() == (255, 255):
        raise RequestError(f"Nothing of {path} is transparent; give a picture as mask, white where it is repainted.")
    file = io.BytesIO()
    ImageChops.invert(alpha).save(file, "PNG")
    name = told_name(Path(f"{path.stem[:100]}-alpha.png"), MAX_NAME)
    return keep(file.getvalue(), name, alpha.size)


def keep(content: bytes, name: str, size: tuple[int, int]) -> Attachment:
    """A picture's file, from now on in the store.

    Args:
        size: width and height as people see it, pixels.

    Raises:
        Flux2Error: if the store can't be written.
    """
    width, height = size
    return _kept(content, Attachment(digest=digest_of(content), name=name, width=width, height=height))


def _kept(content: bytes, attachment: Attachment) -> Attachment:
    place = place_of(attachment)
    try:
        make_private(place.parent)
        if is_whole(attachment):
            os.utime(place)
        else:
            write_atomically(place, content)
    except OSError as error:
        reason = (
            str(error).rstrip(".") if isinstance(error, Flux2Error) else _REMEDIES.get(error.errno or 0, error.strerror)
        )
        raise Flux2Error(f"The picture {attachment} can't be kept in {place.parent}: {reason or error}.") from error
    with contextlib.suppress(OSError):
        make_room(place)
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


def is_whole(attachment: Attachment) -> bool:
    """Whether the store has it, and as it was handed in."""
    try:
        _read(attachment)
    except RequestError:
        return False
    return True


def check_there(attachments: Iterable[Attachment]) -> None:
    """Make sure that the store has all of these, without reading them.

    Raises:
        RequestError: in one sentence that names the first that it has not.
    """
    for attachment in attachments:
        if not is_kept(attachment):
            raise RequestError(_gone(attachment))


def check_kept(attachments: Iterable[Attachment]) -> None:
    """Make sure, before any work, that the store has all of these, whole and as large as they are said to be.

    Raises:
        RequestError: in one sentence that names the first of which that is not so.
    """
    for attachment in attachments:
        with opened_attachment(attachment) as image:
            size = seen_size(image)
        if size != (attachment.width, attachment.height):
            raise RequestError(
                f"The picture {attachment} has {size[0]}×{size[1]} pixels and was said to have "
                f"{attachment.width}×{attachment.height}; attach it again."
            )
        with contextlib.suppress(OSError):
            os.utime(place_of(attachment))  # it was used: what was not for the longest time goes first


@contextlib.contextmanager
def opened_attachment(attachment: Attachment) -> Iterator[Image.Image]:
    """The picture, read up to its pixels.

    Raises:
        RequestError: in one sentence if the store has it no more, or it is damaged.
    """
    with decoded(io.BytesIO(_read(attachment)), str(attachment), FORMATS) as image:
        yield image


def _read(attachment: Attachment) -> bytes:
    """The kept copy's bytes. Raises RequestError if there is none, or it is damaged."""
    place = place_of(attachment)
    try:
        check_own(place)
        content = place.read_bytes()
    except FileNotFoundError as error:
        raise RequestError(_gone(attachment)) from error
    except OSError as error:
        reason = str(error).rstrip(".") if isinstance(error, Flux2Error) else error.strerror or str(error)
        raise RequestError(f"The kept copy of {attachment} can't be read ({reason}); attach it again.") from error
    if digest_of(content) != attachment.digest:
        raise RequestError(f"The kept copy of {attachment} is damaged; attach the picture again.")
    return content


def _gone(attachment: Attachment) -> str:
    return f"The picture {attachment} is no more among those kept; attach it again."
