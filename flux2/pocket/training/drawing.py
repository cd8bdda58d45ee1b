"""An antialiased canvas on Pillow: shapes under one ambient light, gradients, glows, and lit figures.

Everything is drawn `SUPERSAMPLING` times larger and averaged down. Coordinates are pixels of the finished picture, or
units of the frame set with `Canvas.frame` (a subject draws itself with its feet at y = 0 and its height about 1).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from .palette import RGB

SUPERSAMPLING = 3
Point = tuple[float, float]


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float, points: int = 20) -> list[Point]:
    """Points of an elliptic arc; angles in radians, clockwise from the right, as y points down."""
    angles = (start + (end - start) * i / points for i in range(points + 1))
    return [(x + rx * math.cos(a), y + ry * math.sin(a)) for a in angles]


def smooth(points: Sequence[Point], closed: bool = True, steps: int = 6) -> list[Point]:
    """A Catmull-Rom spline through the points."""
    n = len(points)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        p0, p1, p2, p3 = (points[j % n] if closed else points[min(max(j, 0), n - 1)] for j in (i - 1, i, i + 1, i + 2))
        for k in range(steps):
            t = k / steps
            a, b = -t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3
            c, d = t + 4 * t**2 - 3 * t**3, -(t**2) + t**3
            x = (a * p0[0] + b * p1[0] + c * p2[0] + d * p3[0]) / 2
            y = (a * p0[1] + b * p1[1] + c * p2[1] + d * p3[1]) / 2
            curve.append((x, y))
    return curve if closed else [*curve, points[-1]]


def _disc(size: int = 128) -> Image.Image:
    """A radial fall-off, 255 in the middle, 0 at the rim."""
    axis = (np.arange(size) + 0.5) / size * 2 - 1
    distance = np.sqrt(axis[:, None] ** 2 + axis[None, :] ** 2)
    return Image.fromarray((255 * np.clip(1 - distance, 0, 1) ** 2).astype(np.uint8))


_GLOW = _disc()


class Canvas:
    """A picture of `width` x `height` pixels being drawn; every colour is multiplied by `ambient` unless it is lit."""

    def __init__(self, width: int, height: int, ambient: RGB) -> None:
        self.width, self.height, self.ambient = width, height, ambient
        self._image = Image.new("RGB", (width * SUPERSAMPLING, height * SUPERSAMPLING))
        self._draw = ImageDraw.Draw(self._image, "RGBA")
        self._mask: ImageDraw.ImageDraw | None = None
        self._origin: Point = (0, 0)
        self._scale, self._flip = 1.0, 1.0

    # -- where and how to draw

    @contextmanager
    def frame(self, x: float, y: float, scale: float = 1.0, flip: bool = False) -> Iterator[None]:
        """Draw in units of `scale` pixels around (x, y), mirrored if `flip`."""
        before = self._origin, self._scale, self._flip
        self._origin, self._scale, self._flip = (x, y), scale, -1.0 if flip else 1.0
        try:
            yield
        finally:
            self._origin, self._scale, self._flip = before

    def _point(self, x: float, y: float) -> Point:
        origin_x, origin_y = self._origin
        return (
            (origin_x + x * self._scale * self._flip) * SUPERSAMPLING,
            (origin_y + y * self._scale) * SUPERSAMPLING,
        )

    def _colour(self, colour: RGB, lit: bool, alpha: float) -> tuple[int, int, int, int]:
        light = (1.0, 1.0, 1.0) if lit else self.ambient
        red, green, blue = (int(min(255.0, c * k)) for c, k in zip(colour, light, strict=True))
        return red, green, blue, int(255 * alpha)

    # -- shapes

    def polygon(self, points: Sequence[Point], colour: RGB, lit: bool = False, alpha: float = 1.0) -> None:
        pixels = [self._point(*p) for p in points]
        self._draw.polygon(pixels, fill=self._colour(colour, lit, alpha))
        if self._mask and alpha == 1:
            self._mask.polygon(pixels, fill=255)

    def blob(self, points: Sequence[Point], colour: RGB, alpha: float = 1.0) -> None:
        """A smooth closed shape through the points."""
        self.polygon(smooth(points), colour, alpha=alpha)

    def ellipse(
        self,
        x: float,
        y: float,
        rx: float,
        ry: float,
        colour: RGB,
        lit: bool = False,
        alpha: float = 1.0,
        turn: float = 0.0,
    ) -> None:
        """An ellipse around (x, y), turned clockwise by `turn` radians."""
        cos, sin = math.cos(turn), math.sin(turn)
        rim = arc(0, 0, rx, ry, 0, math.tau, 36)
        self.polygon([(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in rim], colour, lit, alpha)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: RGB, lit: bool = False, alpha: float = 1) -> None:
        self.polygon([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, lit, alpha)

    def line(self, points: Sequence[Point], width: float, colour: RGB, lit: bool = False, alpha: float = 1.0) -> None:
        """A smooth line with round ends."""
        pixels = [self._point(*p) for p in (smooth(points, closed=False) if len(points) > 2 else points)]
        thick = max(1, round(width * self._scale * SUPERSAMPLING))
        fill = self._colour(colour, lit, alpha)
        for draw, ink in ((self._draw, fill), (self._mask if alpha == 1 else None, 255)):
            if draw is None:
                continue
            draw.line(pixels, fill=ink, width=thick, joint="curve")
            if alpha == 1:
                for x, y in (pixels[0], pixels[-1]):
                    draw.ellipse([x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2], fill=ink)

    # -- light

    def gradient(self, points: Sequence[Point], colours: Sequence[RGB], lit: bool = False) -> None:
        """A polygon filled with a vertical gradient from its top to its bottom."""
        pixels = [self._point(*p) for p in points]
        left, top = (math.floor(min(p[i] for p in pixels)) for i in (0, 1))
        right, bottom = (math.ceil(max(p[i] for p in pixels)) for i in (0, 1))
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, self._image.width), min(bottom, self._image.height)
        if right <= left or bottom <= top:
            return
        stops = np.linspace(0, 1, len(colours))
        at = np.linspace(0, 1, bottom - top)
        shades = np.array([self._colour(c, lit, 1)[:3] for c in colours], np.float32)
        strip = np.stack([np.interp(at, stops, shades[:, i]) for i in range(3)], -1)
        fill = Image.fromarray(np.round(strip).astype(np.uint8)[:, None]).resize((right - left, bottom - top))
        shape = Image.new("1", fill.size)
        ImageDraw.Draw(shape).polygon([(x - left, y - top) for x, y in pixels], fill=1)
        self._image.paste(fill, (left, top), shape)

    def glow(self, x: float, y: float, radius: float, colour: RGB, strength: float) -> None:
        """Soft light around a point, brightest in the middle."""
        pixel_x, pixel_y = self._point(x, y)
        r = round(radius * self._scale * SUPERSAMPLING)
        disc = _GLOW.resize((2 * r, 2 * r), Image.Resampling.BILINEAR).point(lambda v: int(v * strength))
        self._image.paste(self._colour(colour, True, 1)[:3], (round(pixel_x) - r, round(pixel_y) - r), disc)

    # -- the finished picture

    def picture(self) -> Image.Image:
        return self._image.reduce(SUPERSAMPLING)

    @contextmanager
    def figure(self, ambient: RGB, rim: RGB, rim_from: Point) -> Iterator[None]:
        """Draw a subject that stands out: shaded from top to bottom, lit at the edge that faces the light, with a soft
        contour of its own against the surroundings. `rim_from` is the direction of the light, (right, down)."""
        behind = self.picture()
        mask = Image.new("L", self._image.size)
        surroundings, self.ambient = self.ambient, ambient
        self._mask = ImageDraw.Draw(mask)
        try:
            yield
        finally:
            self._mask, self.ambient = None, surroundings
        lit = _light(self.picture(), behind, mask.reduce(SUPERSAMPLING), rim, rim_from)
        self._image.paste(lit.resize(self._image.size, Image.Resampling.NEAREST))


def _light(figure: Image.Image, behind: Image.Image, mask: Image.Image, rim: RGB, rim_from: Point) -> Image.Image:
    """The figure in its light over what is behind it."""
    box = mask.getbbox()
    if box is None:
        return figure
    coverage = np.asarray(mask, np.float32)[..., None] / 255
    pixels: npt.NDArray[np.floating] = np.asarray(figure, np.float32)
    ground: npt.NDArray[np.floating] = np.asarray(behind, np.float32)

    halo = np.asarray(mask.filter(ImageFilter.GaussianBlur(4)), np.float32)[..., None] / 255
    bright = float((pixels * coverage).sum() / (3 * coverage.sum()))
    contour = np.float32(30 if bright > 90 else 150)
    ground = ground + (contour - ground) * (halo * np.float32(0.34))

    rows = np.linspace(1.05, 0.87, box[3] - box[1], dtype=np.float32)
    shade = np.ones((mask.height, 1, 1), np.float32)
    shade[box[1] : box[3], 0, 0] = rows
    dx, dy = (round(5 * d) for d in rim_from)
    inner = Image.new("L", mask.size)
    inner.paste(mask, (-dx, -dy))
    facing = np.asarray(inner.filter(ImageFilter.GaussianBlur(3)), np.float32)[..., None] / 255
    edge = np.clip(coverage - facing, 0, 1)
    pixels = pixels * shade
    pixels = pixels + (np.array(rim, np.float32) - pixels) * (edge * np.float32(0.5))

    lit = ground + (pixels - ground) * coverage
    return Image.fromarray(np.clip(lit, 0, 255).astype(np.uint8))
