"""Colours on terminals of 256: the nearest of them, greys among them.

Rich rounds each of red, green and blue by itself to the six steps of the palette's cube, which makes a dark blue-grey a
deep blue and the shadows of a picture black.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from rich.color import Color as RichColor
from rich.color import ColorType
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

_STEPS = (0, 95, 135, 175, 215, 255)
"""Levels of each channel in the colour cube, the colours from 16 on."""
_GREYS = tuple(range(8, 248, 10))
"""The colours from 232 on."""
_WEIGHTS = (2, 4, 3)
"""How much an eye makes of a difference in red, green and blue."""


class Palette256(LineFilter):
    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002
        return [Segment(text, style and _style(style), control) for text, style, control in segments]


@lru_cache(4096)
def _style(style: Style) -> Style:
    colours = [_colour(colour) for colour in (style.color, style.bgcolor)]
    return style + Style.from_color(*colours) if any(colours) else style


def _colour(colour: RichColor | None) -> RichColor | None:
    if colour is None or colour.type is not ColorType.TRUECOLOR or colour.triplet is None:
        return None
    return RichColor.from_ansi(nearest(*colour.triplet))


@lru_cache(16384)
def nearest(*wanted: int) -> int:
    """The number of the palette's colour that is most like this red, green and blue, 0 to 255 each."""
    cube = [_closest(channel, _STEPS) for channel in wanted]
    grey = _closest(sum(weight * channel for weight, channel in zip(_WEIGHTS, wanted, strict=True)) / 9, _GREYS)
    if _distance(wanted, [_GREYS[grey]] * 3) < _distance(wanted, [_STEPS[step] for step in cube]):
        return 232 + grey
    return 16 + 36 * cube[0] + 6 * cube[1] + cube[2]


def _closest(value: float, steps: tuple[int, ...]) -> int:
    return min(range(len(steps)), key=lambda index: abs(steps[index] - value))


def _distance(one: Iterable[int], other: Iterable[int]) -> int:
    return sum(weight * (a - b) ** 2 for weight, a, b in zip(_WEIGHTS, one, other, strict=True))
