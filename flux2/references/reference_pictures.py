"""The reference pictures of a request: which they are, whether they can be taken, and what is encoded of them."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import PIL
from PIL import Image

from flux2.architecture.reference_sizes import prepared_size
from flux2.errors import RequestError
from flux2.inputs.attachment import MAX_NAME, Attachment
from flux2.pictures.as_seen import Pixels, as_seen
from flux2.pictures.attachments import opened_attachment
from flux2.pictures.handed_in import FORMATS, read_handed_in, told_name
from flux2.pictures.opening import DAMAGED, decoded
from flux2.references.picture_encoder import Encodable
from flux2.references.preparing import shrink_and_crop

Pictures = Mapping[str, Image.Image]
"""Pictures that are in memory, as they are seen, by their attachments' digests; others lie in the store."""

_PREPARATION = 1
"""Counted up when other pixels are made of the same picture."""
Picture = Image.Image | str | PathLike[str]
"""A picture as a program hands one in: PIL's, or a file's path."""
Images = Picture | Sequence[Picture]


def hand_in(images: Images | None) -> tuple[tuple[Attachment, ...], dict[str, Image.Image]]:
    """Pictures of a program as attachments, and the pictures themselves as they are seen, by digest.

    Raises:
        RequestError: if something else was given.
        Flux2Error: if one can't be read.
    """
    listed = images if isinstance(images, list | tuple) else [] if images is None else [images]
    attachments: list[Attachment] = []
    pictures: dict[str, Image.Image] = {}
    for image in listed:
        seen = as_seen(opened("image", image))
        digest = hashlib.sha256(f"{seen.size}".encode() + seen.tobytes()).hexdigest()
        name = told_name(Path(image), MAX_NAME) if isinstance(image, str | PathLike) else ""
        attachments.append(Attachment(digest=digest, name=name, width=seen.width, height=seen.height))
        pictures[digest] = seen
    return tuple(attachments), pictures


def opened(argument: str, picture: Any) -> Image.Image:
    """A picture with all of its pixels, of whatever a program hands in.

    Args:
        argument: its name, for the sentence.

    Raises:
        RequestError: if it is none.
        Flux2Error: if it can't be read.
    """
    if isinstance(picture, str | PathLike):
        found = read_handed_in(Path(picture))
        with decoded(io.BytesIO(found.content), picture, FORMATS) as image:
            image.load()
            return image
    if not isinstance(picture, Image.Image):
        raise RequestError(
            f"{argument} is a {type(picture).__name__}; give a picture of PIL (Image.fromarray makes one of an array) "
            "or a file's path."
        )
    try:
        picture.load()
    except (OSError, AssertionError, *DAMAGED) as error:  # AssertionError: PIL's, of a file that was closed
        raise RequestError(
            f"{argument} can't be read to its end ({str(error) or 'it is closed'}); open it again."
        ) from error
    return picture


def encodable(attachment: Attachment, most_pixels: int | None, pictures: Pictures) -> Encodable:
    """A reference as it is encoded.

    Args:
        most_pixels: what it is shrunk to where it has more; None is diffusers' 1024².
        pictures: those that are in memory.
    """
    size = prepared_size(attachment.width, attachment.height, most_pixels)
    key = f"{attachment.digest} {size.cropped} {_PREPARATION} {PIL.__version__}"
    return Encodable(key, size.grid, partial(_pixels, attachment, most_pixels, pictures))


def _pixels(attachment: Attachment, most_pixels: int | None, pictures: Pictures) -> Pixels:
    seen = pictures.get(attachment.digest)
    if seen is None:
        with opened_attachment(attachment) as image:
            seen = as_seen(image)
    if seen.size != (attachment.width, attachment.height):
        raise RequestError(
            f"The picture {attachment} has {seen.width}×{seen.height} pixels and was said to have "
            f"{attachment.width}×{attachment.height}; attach it again."
        )
    return shrink_and_crop(seen, most_pixels)
