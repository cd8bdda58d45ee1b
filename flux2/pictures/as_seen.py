"""A picture of any kind as people see it: upright, on white where it is transparent, eight bits each of RGB.

Diffusers takes the numbers as they lie in the file: a phone's photograph on its side, hidden colours under what is
transparent, all that is brighter than a 256th in 16 bits as white.
"""

from __future__ import annotations

import contextlib
import io

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, ImageOps

Pixels = npt.NDArray[np.uint8]
"""A picture, [height, width, 3], red, green, blue."""

WHITE = (255, 255, 255, 255)
_BITS_16 = 65535


def as_seen(image: Image.Image) -> Image.Image:
    """The picture upright and in RGB, of the size that people see."""
    upright = _in_eight_bits(ImageOps.exif_transpose(image))
    if upright.has_transparency_data:
        straight = upright.convert("LA") if upright.mode == "La" else upright
        seen = straight.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", seen.size, WHITE), seen).convert("RGB")
    return _in_rgb(upright)


def _in_eight_bits(image: Image.Image) -> Image.Image:
    """The picture with its range mapped to 0 … 255, where it has more; one of eight bits as it is."""
    if image.mode != "F" and not image.mode.startswith("I"):
        return image
    values = np.asarray(image).astype(np.float64)
    highest = values.max(initial=0)
    if image.mode == "F":
        full = 1.0 if highest <= 1.0 else 255.0 if highest <= 255.0 else _BITS_16
    else:
        full = _BITS_16 if highest <= _BITS_16 else 2**31 - 1
    grey = Image.fromarray(np.rint(np.clip(values / full, 0, 1) * 255).astype(np.uint8))
    hidden = image.info.get("transparency")
    if isinstance(hidden, int):  # one grey that stands for nothing
        grey.putalpha(Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8)))
    return grey


def _in_rgb(image: Image.Image) -> Image.Image:
    """The picture's colours as sRGB has them, as far as it says what they are."""
    if image.mode in ("CMYK", "LAB"):  # without a profile they are ink on nobody's paper
        with contextlib.suppress(ImageCms.PyCMSError, OSError):
            own = image.info.get("icc_profile")
            source = ImageCms.ImageCmsProfile(io.BytesIO(own)) if own else _profile_of(image.mode)
            if source and (found := ImageCms.profileToProfile(image, source, _srgb(), outputMode="RGB")):
                return found
    return image.convert("RGB")


def _profile_of(mode: str) -> ImageCms.ImageCmsProfile | None:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")) if mode == "LAB" else None


def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
