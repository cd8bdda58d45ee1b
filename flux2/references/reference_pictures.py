"""The reference pictures of a request: which they are, whether they can be taken, and what is encoded of them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from functools import partial

import PIL
from PIL import Image

from flux2.architecture.reference_sizes import prepared_size
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment
from flux2.pictures.as_seen import as_seen
from flux2.pictures.attachments import opened_attachment
from flux2.references.encoding import Pixels
from flux2.references.picture_encoder import Encodable
from flux2.references.preparing import shrink_and_crop

Pictures = Mapping[str, Image.Image]
"""Pictures that are in memory, as they are seen, by their attachments' digests; others lie in the store."""

_PREPARATION = 1
"""Counted up when other pixels are made of the same picture."""


def hand_in(images: object) -> tuple[tuple[Attachment, ...], dict[str, Image.Image]]:
    """Pictures of a program, one or a list of PIL's, as attachments; and the pictures as they are seen, by digest.

    Raises:
        RequestError: if something else was given.
    """
    listed = list(images) if isinstance(images, list | tuple) else [images]
    attachments: list[Attachment] = []
    pictures: dict[str, Image.Image] = {}
    for image in listed:
        if not isinstance(image, Image.Image):
            raise RequestError(f"An image is a {type(image).__name__}; give PIL's pictures, one or a list of them.")
        seen = as_seen(image)
        digest = hashlib.sha256(f"{seen.size}".encode() + seen.tobytes()).hexdigest()
        attachments.append(Attachment(digest=digest, width=seen.width, height=seen.height))
        pictures[digest] = seen
    return tuple(attachments), pictures


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
