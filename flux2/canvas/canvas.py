"""The canvas of a request with a source: what the model is given of it, and what comes out when it has painted.

1. `open_canvas` reads source and mask, extends them, and chooses the window that is worked on.
2. The window's pixels are encoded (`Canvas.encodable`), and its mask is made the tokens' freedom.
3. The run begins in these latents as far as strength has it, and keeps what the mask keeps (`Canvas.source`).
4. `Canvas.finished` lays what was painted over the source at its full size: what the mask keeps is the source's, to the
   last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType

import numpy as np
from PIL import Image

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.architecture.reference_sizes import Size
from flux2.backend.mlx import mx
from flux2.canvas.mask_drawing import Mask, painted_box
from flux2.canvas.masks import check_mask, mapped, read_mask, token_weights
from flux2.canvas.outpainting import extended, extension_mask
from flux2.canvas.window import Window, mask_window, middle_window, needs_padding_alone, whole_window
from flux2.denoise.source import Source
from flux2.inputs.attachment import Attachment
from flux2.pictures.as_seen import Pixels, as_seen
from flux2.pictures.attachments import opened_attachment
from flux2.references.encoding import EncodedPicture
from flux2.references.picture_encoder import Encodable
from flux2.references.reference_pictures import Pictures
from flux2.request import GenerationRequest

ANOTHER_SHAPE = 0.02
"""Difference of two pictures' shapes, as a share, from which on it is said that one is stretched to the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Canvas:
    """A source as it is to be changed."""

    pixels: Pixels
    """The source, with noise where it is extended, at full size."""
    mask: Mask | None
    """What of it is painted anew, of its size; None where all is."""
    window: Window
    """The part that the model works on."""
    colours: bytes | None = None
    """The ICC profile that says what the source's numbers mean; those of the picture that comes out mean the same."""
    remarks: list[str] = field(default_factory=list)
    """What its user may not expect, a sentence each."""

    @property
    def encodable(self) -> Encodable:
        """The window for the autoencoder."""
        part = self.window.cut(self.pixels)
        height, width, _ = part.shape
        key = hashlib.sha256(repr(part.shape).encode() + part.tobytes()).hexdigest()
        return Encodable(f"canvas {key}", (height // TOKEN_PIXELS, width // TOKEN_PIXELS), lambda: part)

    def source(self, picture: EncodedPicture, noise: mx.array) -> Source:
        """The source for the run, and how much of it the mask keeps.

        Args:
            picture: what the autoencoder made of the window.
            noise: the run's first noise, packed.
        """
        freedom = None if self.mask is None else mx.array(token_weights(self.mask, self.window))[None, :, None]
        return Source(picture=picture, noise=noise, freedom=freedom)

    def finished(self, painted: Image.Image) -> Image.Image:
        """The picture that comes out.

        Args:
            painted: what the model made of the window, at the size it was worked on.
        """
        if self.mask is None:
            finished = painted.crop((0, 0, *self.finished_size))
        else:
            repainted = Image.fromarray(self.window.put_back(painted, self.pixels))
            finished = Image.composite(repainted, Image.fromarray(self.pixels), Image.fromarray(self.mask))
        if self.colours:
            finished.info["icc_profile"] = self.colours
        return finished

    @property
    def finished_size(self) -> Size:
        """Width and height of what comes out: of the canvas, or where all is painted anew, of the part that was."""
        height, width, _ = self.pixels.shape
        if self.mask is not None:
            return width, height
        part, (across, down) = self.window, self.window.working
        return round(across * min(1, width / part.width)), round(down * min(1, height / part.height))


def open_canvas(request: GenerationRequest, pictures: Pictures = MappingProxyType({})) -> Canvas | None:
    """The canvas of a request with its size and seed filled in; None where it has no source.

    Args:
        pictures: those of the request's attachments that are in memory; the others are read from the store.

    Raises:
        RequestError: if source or mask is gone or damaged, or the mask keeps all or nothing.
    """
    if request.source is None:
        return None
    assert request.width and request.height and request.seed is not None
    working = request.width, request.height
    with _opened(request.source, pictures) as image:
        remarks = list(_remarks_about(image))
        pixels = np.asarray(as_seen(image))
        colours = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
    size = pixels.shape[1], pixels.shape[0]
    mask = None
    if request.mask:
        with _opened(request.mask, pictures) as image:
            mask = read_mask(image)
        check_mask(mask)
        remarks += _remarks_about_shape(mask, size)
        mask = mapped(mask, size)
    if request.outpaint:
        mask = extension_mask(size, request.outpaint, mask)
        pixels = extended(pixels, request.outpaint, request.seed)
    size = pixels.shape[1], pixels.shape[0]
    if mask is not None:
        check_mask(mask)
        window = mask_window(size, painted_box(mask) or (0, 0, *size), working)
    elif needs_padding_alone(size, working):
        window = whole_window(size, working)
    else:
        window = middle_window(size, working)
        remarks += _remarks_about_window(window, size)
    return Canvas(pixels=pixels, mask=mask, window=window, colours=colours, remarks=remarks)


@contextmanager
def _opened(attachment: Attachment, pictures: Pictures) -> Iterator[Image.Image]:
    if attachment.digest in pictures:
        yield pictures[attachment.digest]
        return
    with opened_attachment(attachment) as image:
        yield image


def _remarks_about(image: Image.Image) -> chain[str]:
    deep = image.mode.startswith("I") or image.mode == "F"
    return chain(
        ["What is transparent in the source is white in the picture."] if image.has_transparency_data else [],
        ["The source has more than 8 bits per channel; the picture has 8."] if deep else [],
    )


def _remarks_about_window(window: Window, size: Size) -> list[str]:
    """What is said where all is painted anew, at another size than the source's."""
    across, down = window.working
    cut = f", of the middle {window.width}×{window.height} of them" if window.size != size else ""
    return [f"The source has {size[0]}×{size[1]} pixels; the picture is made as {across}×{down}{cut}."]


def _remarks_about_shape(mask: Mask, size: Size) -> list[str]:
    height, width = mask.shape
    shapes = width / height, size[0] / size[1]
    if max(shapes) / min(shapes) <= 1 + ANOTHER_SHAPE:
        return []
    return [f"The mask's {width}×{height} pixels are stretched to the source's {size[0]}×{size[1]}."]
