"""The things of the pocket scenes, in a unit box: standing on y = 0, height about 1."""

from __future__ import annotations

import math

from .drawing import Canvas, arc
from .palette import CREAM, INK, LAMP_LIGHT, RGB, WOOD, Look, darker, lighter

GLASS: RGB = (166, 206, 230)
TERRACOTTA: RGB = (204, 112, 78)
LEAF: RGB = (84, 150, 80)


def _window(canvas: Canvas, x: float, y: float, half: float, lit: bool) -> None:
    canvas.box(x - half - 0.02, y - half - 0.02, x + half + 0.02, y + half + 0.02, CREAM)
    canvas.box(x - half, y - half, x + half, y + half, LAMP_LIGHT if lit else GLASS, lit=lit)
    canvas.box(x - 0.01, y - half, x + 0.01, y + half, CREAM)


def sailboat(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    canvas.line([(0, -0.16), (0, -1.02)], 0.035, darker(WOOD, 0.2))
    canvas.polygon([(0.04, -0.24), (0.04, -0.99), (0.5, -0.24)], colour)
    canvas.polygon([(-0.04, -0.24), (-0.04, -0.88), (-0.38, -0.24)], lighter(colour, 0.3))
    canvas.polygon([(0.04, -0.24), (0.04, -0.37), (0.42, -0.37), (0.5, -0.24)], darker(colour, 0.2))
    canvas.polygon([(-0.5, -0.19), (0.56, -0.19), (0.38, 0.04), (-0.34, 0.04)], WOOD)
    canvas.polygon([(-0.5, -0.19), (0.56, -0.19), (0.51, -0.12), (-0.46, -0.12)], CREAM)
    for y, half in ((0.04, 0.52), (0.1, 0.36)):
        canvas.line([(-half, y), (half, y)], 0.022, (206, 232, 244), alpha=0.85)


def house(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    roof: RGB = (92, 84, 104)
    canvas.box(0.2, -1.0, 0.33, -0.66, (164, 122, 106))
    canvas.box(-0.43, -0.53, 0.43, 0, colour)
    canvas.polygon([(-0.56, -0.5), (0, -0.96), (0.56, -0.5)], roof)
    canvas.polygon([(-0.56, -0.5), (0, -0.96), (0, -0.88), (-0.45, -0.5)], lighter(roof, 0.25))
    canvas.box(-0.1, -0.32, 0.1, 0, (112, 74, 54))
    canvas.ellipse(0.06, -0.15, 0.02, 0.02, (250, 210, 90))
    for x in (-0.27, 0.27):
        _window(canvas, x, -0.3, 0.085, look.lamps)
    canvas.ellipse(0, -0.66, 0.085, 0.085, CREAM)
    canvas.ellipse(0, -0.66, 0.062, 0.062, LAMP_LIGHT if look.lamps else GLASS, lit=look.lamps)


def tree(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    bark: RGB = (118, 82, 58)
    canvas.polygon([(-0.1, 0), (-0.055, -0.5), (0.055, -0.5), (0.1, 0)], bark)
    for side in (-1, 1):
        canvas.line([(0, -0.3), (side * 0.17, -0.5)], 0.05, bark)
    for x, y, r in ((-0.25, -0.54, 0.2), (0.25, -0.54, 0.2), (0, -0.5, 0.22)):
        canvas.ellipse(x, y, r, r * 0.92, darker(colour, 0.22))
    for x, y, r in ((-0.22, -0.66, 0.22), (0.22, -0.66, 0.22), (0, -0.79, 0.24), (0, -0.62, 0.22)):
        canvas.ellipse(x, y, r, r * 0.92, colour)
    for x, y, r in ((-0.17, -0.75, 0.1), (0.05, -0.89, 0.11), (0.23, -0.72, 0.08)):
        canvas.ellipse(x, y, r, r * 0.82, lighter(colour, 0.25))


def balloon(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    for x in (-0.13, 0.13):
        canvas.line([(x * 1.3, -0.34), (x * 0.6, -0.14)], 0.016, darker(WOOD, 0.2))
    for half, shade in ((0.38, darker(colour, 0.1)), (0.25, lighter(colour, 0.3)), (0.1, colour)):
        top = arc(0, -0.65, half, 0.37, math.pi, 2 * math.pi, 24)
        canvas.polygon(
            [*top, (half * 0.86, -0.5), (half * 0.3, -0.28), (-half * 0.3, -0.28), (-half * 0.86, -0.5)], shade
        )
    canvas.box(-0.1, -0.15, 0.1, 0, (172, 124, 76))
    canvas.box(-0.12, -0.17, 0.12, -0.125, (128, 86, 54))


def car(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    canvas.polygon([(-0.38, -0.32), (-0.25, -0.6), (0.18, -0.6), (0.38, -0.32)], colour)
    canvas.polygon([(-0.29, -0.33), (-0.2, -0.53), (-0.045, -0.53), (-0.045, -0.33)], GLASS)
    canvas.polygon([(0.0, -0.33), (0.0, -0.53), (0.15, -0.53), (0.28, -0.33)], GLASS)
    body = [(-0.62, -0.1), (-0.6, -0.29), (-0.5, -0.35), (0.44, -0.35), (0.59, -0.28), (0.62, -0.1)]
    canvas.polygon(body, colour)
    canvas.box(-0.62, -0.16, 0.62, -0.09, darker(colour, 0.35))
    canvas.line([(0.02, -0.27), (0.1, -0.27)], 0.03, lighter(colour, 0.55))
    for x in (-0.34, 0.34):
        canvas.ellipse(x, -0.11, 0.145, 0.145, INK)
        canvas.ellipse(x, -0.11, 0.07, 0.07, (200, 204, 210))
    canvas.ellipse(0.56, -0.23, 0.05, 0.05, (255, 246, 196), lit=look.lamps)
    canvas.box(-0.625, -0.26, -0.57, -0.19, (224, 56, 50), lit=look.lamps)
    if look.lamps:
        canvas.polygon([(0.6, -0.25), (1.05, -0.36), (1.05, -0.02), (0.6, -0.19)], (255, 240, 170), lit=True, alpha=0.3)


def lighthouse(canvas: Canvas, look: Look) -> None:
    colour = look.colour

    def half(y: float) -> float:
        return 0.15 + 0.09 * (y + 0.74) / 0.74

    canvas.ellipse(0, -0.01, 0.4, 0.08, (120, 114, 116))
    for i in range(5):
        top, bottom = -0.74 + i * 0.15, -0.74 + (i + 1) * 0.15
        band = colour if i % 2 == 0 else lighter(colour, 0.78)
        canvas.polygon([(-half(top), top), (half(top), top), (half(bottom), bottom), (-half(bottom), bottom)], band)
    canvas.box(-0.22, -0.79, 0.22, -0.73, (74, 74, 86))
    canvas.box(-0.12, -0.93, 0.12, -0.79, (255, 238, 156) if look.lamps else GLASS, lit=look.lamps)
    canvas.polygon([(-0.17, -0.92), (0, -1.06), (0.17, -0.92)], darker(colour, 0.2))
    canvas.polygon([*arc(0, -0.13, 0.07, 0.07, math.pi, 2 * math.pi, 10), (0.07, 0), (-0.07, 0)], (104, 74, 58))
    if look.lamps:
        for side in (-1, 1):
            beam = [(side * 0.12, -0.86), (side * 1.7, -1.06), (side * 1.7, -0.64)]
            canvas.polygon(beam, (255, 240, 170), lit=True, alpha=0.28)


def mushroom(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    stem: RGB = (246, 234, 212)
    canvas.blob(
        [(-0.13, -0.5), (0.13, -0.5), (0.16, -0.2), (0.2, -0.02), (0, 0.02), (-0.2, -0.02), (-0.16, -0.2)], stem
    )
    canvas.blob([(0.04, -0.5), (0.13, -0.5), (0.16, -0.2), (0.19, -0.02), (0.1, 0)], darker(stem, 0.14))
    canvas.ellipse(0, -0.46, 0.45, 0.1, darker(colour, 0.25))
    canvas.polygon(arc(0, -0.47, 0.46, 0.5, math.pi, 2 * math.pi, 30), colour)
    spot = (250, 244, 232) if sum(colour) < 660 else (206, 180, 150)
    for x, y, r in ((-0.24, -0.62, 0.075), (0.05, -0.8, 0.09), (0.26, -0.6, 0.065), (0.0, -0.58, 0.055)):
        canvas.ellipse(x, y, r, r * 0.86, spot)


def mug(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    canvas.line(arc(0.3, -0.38, 0.19, 0.18, -1.3, 1.4, 10), 0.08, darker(colour, 0.15))
    canvas.blob([(-0.34, -0.68), (0.32, -0.68), (0.31, -0.2), (0.24, -0.01), (-0.26, -0.01), (-0.33, -0.2)], colour)
    canvas.ellipse(-0.01, -0.68, 0.335, 0.085, lighter(colour, 0.35))
    canvas.ellipse(-0.01, -0.675, 0.28, 0.06, (100, 62, 44))
    for x in (-0.13, 0.11):
        canvas.line(
            [(x, -0.78), (x + 0.06, -0.86), (x - 0.03, -0.94), (x + 0.04, -1.03)], 0.034, (255, 255, 255), alpha=0.6
        )


def flower(canvas: Canvas, look: Look) -> None:
    colour = look.colour
    canvas.line([(0, -0.3), (0.02, -0.66)], 0.045, LEAF)
    for side in (-1, 1):
        canvas.ellipse(side * 0.13, -0.43, 0.13, 0.05, LEAF, turn=-side * 0.55)
    for ring, reach in ((darker(colour, 0.14), 0.0), (colour, math.pi / 6)):
        for i in range(6):
            angle = i * math.tau / 6 + reach
            x, y = 0.02 + 0.175 * math.cos(angle), -0.76 + 0.175 * math.sin(angle)
            canvas.ellipse(x, y, 0.125, 0.09, ring, turn=angle)
    canvas.ellipse(0.02, -0.76, 0.1, 0.1, (250, 206, 76) if colour[2] > 80 or colour[0] < 200 else (120, 76, 48))
    canvas.polygon([(-0.22, -0.3), (0.22, -0.3), (0.16, 0), (-0.16, 0)], TERRACOTTA)
    canvas.box(-0.245, -0.35, 0.245, -0.26, lighter(TERRACOTTA, 0.2))
