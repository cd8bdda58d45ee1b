"""Colours and light of the pocket scenes, as tables."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[float, float, float]
"""Red, green, blue in 0..255."""


@dataclass(frozen=True)
class Look:
    """How one subject looks: its colour, whether it is striped, and whether its lamps are lit."""

    colour: RGB
    striped: bool
    lamps: bool


COLOURS: dict[str, RGB] = {
    "red": (214, 48, 44),
    "orange": (244, 136, 36),
    "yellow": (250, 210, 62),
    "green": (72, 160, 74),
    "teal": (28, 164, 164),
    "blue": (52, 104, 216),
    "purple": (132, 70, 184),
    "pink": (246, 140, 184),
    "brown": (128, 82, 52),
    "black": (44, 42, 50),
    "white": (246, 244, 240),
    "grey": (140, 144, 152),
}


@dataclass(frozen=True)
class TimeOfDay:
    """The light of one time of day; colours are RGB, lights are multipliers, `sun_height` is 0 (horizon) to 1 (top)."""

    sky: tuple[RGB, RGB, RGB]
    """Top, middle and horizon of the sky."""
    ambient: RGB
    """What the surroundings are multiplied with."""
    subject_ambient: RGB
    """What subjects are multiplied with: under the night's full tint a white fox is blue and the caption a lie."""
    rim: RGB
    """The light on the edges that face the sun or the moon."""
    sun: RGB | None
    sun_height: float
    sun_radius: float
    stars: int
    clouds: int
    lamps: bool
    """Whether windows, lanterns and headlights are lit."""


TIMES: dict[str, TimeOfDay] = {
    "dawn": TimeOfDay(
        sky=((150, 176, 222), (226, 196, 220), (255, 218, 190)),
        ambient=(0.97, 0.92, 0.95),
        subject_ambient=(1.0, 0.97, 0.97),
        rim=(255, 226, 206),
        sun=(255, 236, 206),
        sun_height=0.12,
        sun_radius=17,
        stars=0,
        clouds=2,
        lamps=False,
    ),
    "noon": TimeOfDay(
        sky=((58, 140, 228), (124, 188, 244), (204, 232, 250)),
        ambient=(1.02, 1.02, 1.0),
        subject_ambient=(1.0, 1.0, 1.0),
        rim=(255, 255, 244),
        sun=(255, 248, 206),
        sun_height=0.78,
        sun_radius=17,
        stars=0,
        clouds=2,
        lamps=False,
    ),
    "sunset": TimeOfDay(
        sky=((112, 62, 128), (232, 96, 82), (255, 190, 92)),
        ambient=(1.02, 0.8, 0.66),
        subject_ambient=(1.0, 0.95, 0.9),
        rim=(255, 206, 120),
        sun=(255, 226, 140),
        sun_height=0.18,
        sun_radius=22,
        stars=0,
        clouds=2,
        lamps=False,
    ),
    "dusk": TimeOfDay(
        sky=((44, 44, 104), (104, 82, 154), (206, 138, 164)),
        ambient=(0.64, 0.6, 0.84),
        subject_ambient=(0.94, 0.92, 0.98),
        rim=(226, 176, 214),
        sun=None,
        sun_height=0,
        sun_radius=0,
        stars=5,
        clouds=2,
        lamps=True,
    ),
    "night": TimeOfDay(
        sky=((8, 14, 44), (20, 34, 80), (44, 62, 118)),
        ambient=(0.38, 0.43, 0.7),
        subject_ambient=(0.88, 0.9, 0.98),
        rim=(176, 200, 255),
        sun=None,
        sun_height=0.74,
        sun_radius=16,
        stars=13,
        clouds=0,
        lamps=True,
    ),
}

LAMP_LIGHT: RGB = (255, 220, 124)
MOONLIGHT: RGB = (250, 244, 214)
CREAM: RGB = (250, 242, 226)
INK: RGB = (34, 30, 36)
WOOD: RGB = (150, 100, 64)
BLUSH: RGB = (240, 150, 156)


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The colour a fraction `t` of the way from `a` to `b`."""
    return (a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t)


def lighter(colour: RGB, t: float) -> RGB:
    return mix(colour, (255, 250, 242), t)


def darker(colour: RGB, t: float) -> RGB:
    return mix(colour, (26, 16, 30), t)


def is_dark(colour: RGB) -> bool:
    return sum(colour) < 200
