"""The pictures that an earlier picture was made with, found again: among the kept copies, or by name and digest.

A picture says of each what it was called and its digest. Where no copy is kept any more, files of that name are looked
at beside the picture that says it and in the pictures folder; what has another digest is another picture.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from flux2.errors import Flux2Error
from flux2.folders import pictures_dir
from flux2.inputs.attachment import Attachment
from flux2.pictures.attachments import attach, digest_of, is_whole
from flux2.pictures.opening import opened_file
from flux2.request import GenerationRequest

_MOST_FOLDERS = 2_000
"""Folders within the pictures folder that are looked into."""


@dataclass(frozen=True, slots=True)
class FoundAgain:
    """A request whose pictures are all there."""

    request: GenerationRequest
    """The request without those that are not, and without what made sense for them alone."""
    missing: tuple[str, ...] = ()
    """Each that is not, for people: `image 2 (room.jpg)`."""

    @property
    def complaint(self) -> str:
        """One sentence about what is missing, with what would do; "" for nothing."""
        if not self.missing:
            return ""
        *others, last = self.missing
        listed = f"{', '.join(others)} and {last} are" if others else f"{last} is"
        return (
            f"Of its pictures {listed} not here any more; put the file into the pictures folder, or hand it in again."
        )


def find_again(request: GenerationRequest, picture: Path) -> FoundAgain:
    """The request with its pictures put back among the kept copies.

    Args:
        picture: the one that says how it was made; files beside it are looked at, too.
    """
    missing: list[str] = []

    def there(attachment: Attachment, called: str) -> bool:
        if not is_whole(attachment) and not _put_back(attachment, picture):
            missing.append(f"{called} ({attachment})")
            return False
        return True

    numbered = enumerate(request.references, request.first_number)
    references = [each for number, each in numbered if there(each, f"image {number}")]
    found = replace(request, references=tuple(references))
    if found.source and not there(found.source, "the source"):
        found = replace(found, source=None, mask=None, strength=None, outpaint=None, source_as_reference=None)
    if found.mask and not there(found.mask, "the mask"):
        found = replace(found, mask=None)
    return FoundAgain(found, tuple(missing))


def whereabouts(attachment: Attachment, picture: Path) -> str:
    """Where a picture that was handed in is now, for people; `picture` says that it was."""
    if is_whole(attachment):
        return "kept"
    return str(_find(attachment, picture) or "not here any more")


def _put_back(attachment: Attachment, picture: Path) -> bool:
    """Whether its file was found and could be copied."""
    path = _find(attachment, picture)
    with contextlib.suppress(Flux2Error):  # it has just changed, or the disk is full
        return path is not None and attach(path).digest == attachment.digest
    return False


def _find(attachment: Attachment, picture: Path) -> Path | None:
    """A file of its name that holds it."""
    for path in _named(attachment.name, picture):
        with contextlib.suppress(Flux2Error, OSError), opened_file(path) as file:
            if digest_of(file.read()) == attachment.digest:
                return path
    return None


def _named(name: str, picture: Path) -> Iterator[Path]:
    """Files of this name beside the picture, then anywhere in the pictures folder."""
    if not name or "/" in name or "\0" in name:
        return
    beside = picture.absolute().with_name(name)
    if beside.is_file():
        yield beside
    for count, (folder, inside, files) in enumerate(os.walk(pictures_dir())):
        inside[:] = sorted(each for each in inside if not each.startswith("."))
        if name in files:
            yield Path(folder, name)
        if count >= _MOST_FOLDERS:
            return
