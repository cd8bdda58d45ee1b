"""Reference pictures before the autoencoder sees them: shrunk, cropped and in RGB, as diffusers does it."""

from __future__ import annotations

import numpy as np
from PIL import Image

from flux2.architecture.reference_sizes import prepared_size
from flux2.pictures.as_seen import Pixels, as_seen


def prepare(image: Image.Image, most_pixels: int | None = None) -> Pixels:
    """The pixels that are encoded of a picture of any kind: what people see of it, then as `shrink_and_crop`.

    Args:
        most_pixels: what it is shrunk to where it has more; None is diffusers' 1024².
    """
    return shrink_and_crop(as_seen(image), most_pixels)


def shrink_and_crop(image: Image.Image, most_pixels: int | None = None) -> Pixels:
    """The pixels that diffusers makes of a picture, [height, width, 3]; never enlarged, and sides multiples of 16.

    Shrinking and cropping come before the change to RGB, so that it depends on the mode what they do.
    """
    size = prepared_size(*image.size, most_pixels)
    if size.scaled != image.size:
        image = image.resize(size.scaled, Image.Resampling.LANCZOS)
    return np.asarray(image.crop(size.box).convert("RGB"))
