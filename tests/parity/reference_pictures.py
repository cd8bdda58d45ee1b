"""Pictures of every kind, made from formulas, so that recordings need not hold them: the same on every machine."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

Values = np.ndarray  # [height, width], 0 to 255


def waves(width: int, height: int, *, down: int, right: int, bow: int) -> Values:
    """A ramp with a bow in it, other in each direction, so that a turned, cut or shifted picture is another one."""
    y, x = np.mgrid[0:height, 0:width]
    return ((down * y + right * x + bow * x * y // 64 + (x * x + y * y) // 97) % 256).astype(np.uint8)


def colours(width: int, height: int, channels: int = 3) -> np.ndarray:
    """[height, width, channels], uint8."""
    planes = [waves(width, height, down=3 + 2 * i, right=5 - i, bow=1 + i) for i in range(channels)]
    return np.stack(planes, axis=-1)


def rgb(width: int, height: int) -> Image.Image:
    return Image.fromarray(colours(width, height))


def rgba(width: int, height: int) -> Image.Image:
    return Image.fromarray(colours(width, height, 4))


def grey(width: int, height: int) -> Image.Image:
    return Image.fromarray(waves(width, height, down=2, right=3, bow=1))


def grey_alpha(width: int, height: int) -> Image.Image:
    return Image.fromarray(colours(width, height, 2), "LA")


def palette(width: int, height: int) -> Image.Image:
    image = Image.fromarray(waves(width, height, down=1, right=2, bow=3), "P")
    image.putpalette([value for i in range(256) for value in (i, (i * 7) % 256, 255 - i)])
    return image


def sixteen_bits(width: int, height: int) -> Image.Image:
    return Image.fromarray(waves(width, height, down=4, right=1, bow=2).astype(np.uint16) * 3)


def cmyk(width: int, height: int) -> Image.Image:
    return Image.fromarray(colours(width, height, 4) // 2, "CMYK")


def turned(width: int, height: int) -> Image.Image:
    """A photograph that says it lies on its side: diffusers' pipelines take it as it lies."""
    image = rgb(width, height)
    image.getexif()[0x0112] = 6
    return image


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "tall": lambda: rgb(70, 333),
    "transparent": lambda: rgba(100, 84),
    "grey and transparent": lambda: grey_alpha(90, 77),
    "grey": lambda: grey(65, 130),
    "palette": lambda: palette(97, 66),
    "16 bit": lambda: sixteen_bits(80, 64),
    "CMYK": lambda: cmyk(79, 95),
    "turned": lambda: turned(111, 72),
    "8:1": lambda: rgb(512, 64),
    "64×64": lambda: rgb(64, 64),
    "large": lambda: rgb(1500, 1100),
    "truncated": lambda: rgb(1040, 1040),
    "large palette": lambda: palette(1200, 1000),
    "large transparent": lambda: rgba(1100, 1001),
    "large CMYK": lambda: cmyk(1111, 1000),
    "large 16 bit": lambda: sixteen_bits(1200, 900),
}
"""Pictures by what is odd about them."""

TEN = list(PICTURES)[:10]
"""Ten of them that are small."""
