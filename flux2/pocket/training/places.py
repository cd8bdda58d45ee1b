"""The places of the pocket scenes: each draws itself and says where a subject stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from .drawing import Canvas, Point
from .palette import LAMP_LIGHT, MOONLIGHT, RGB, TimeOfDay, darker, lighter, mix

CURTAINS: tuple[RGB, ...] = ((198, 84, 76), (96, 126, 182), (112, 146, 108))
HOUSE_FRONTS: tuple[RGB, ...] = ((196, 108, 88), (214, 186, 146), (122, 142, 170), (178, 146, 168), (150, 172, 150))
PETALS: tuple[RGB, ...] = ((252, 224, 84), (246, 130, 160), (250, 250, 250), (176, 128, 224))
FRAME: RGB = (248, 242, 232)


def sky(canvas: Canvas, rng: Random, time: TimeOfDay, box: tuple[float, float, float, float]) -> float:
    """Fill the box (left, top, right, horizon) with sky, its sun or moon, stars and clouds; returns the sun's x."""
    left, top, right, horizon = box
    wide, high = right - left, horizon - top
    size = min(1.0, 0.45 + wide / 400)
    canvas.gradient([(left, top), (right, top), (right, horizon), (left, horizon)], time.sky, lit=True)
    for i in range(time.stars):
        x, y = left + wide * (i + rng.uniform(0.2, 0.8)) / time.stars, top + high * rng.uniform(0.04, 0.7)
        canvas.ellipse(x, y, 1.7 * size, 1.7 * size, (255, 250, 228), lit=True)
    sun_x = left + wide * rng.choice((0.16, 0.84))
    sun_y = horizon - high * time.sun_height
    radius = time.sun_radius * size
    if time.sun is not None:
        canvas.glow(sun_x, sun_y, radius * 4.4, time.sun, 0.9)
        canvas.ellipse(sun_x, sun_y, radius, radius, time.sun, lit=True)
    elif radius:
        canvas.glow(sun_x, sun_y, radius * 3.4, (190, 206, 255), 0.6)
        canvas.ellipse(sun_x, sun_y, radius, radius, MOONLIGHT, lit=True)
        for dx, dy, r in ((-0.35, -0.25, 0.24), (0.3, 0.3, 0.18)):
            canvas.ellipse(sun_x + dx * radius, sun_y + dy * radius, r * radius, r * radius, (228, 220, 192), lit=True)
    for i in range(time.clouds):
        x = left + wide * (0.28 + 0.44 * i + rng.uniform(-0.1, 0.1))
        cloud(canvas, x, top + high * rng.uniform(0.16, 0.42), 21 * size, lighter(time.sky[1], 0.45))
    return sun_x


def cloud(canvas: Canvas, x: float, y: float, size: float, colour: RGB) -> None:
    with canvas.frame(x, y, size):
        for dx, dy, rx in ((-0.85, 0.08, 0.6), (0, -0.16, 0.85), (0.85, 0.08, 0.6)):
            canvas.ellipse(dx, dy, rx, rx * 0.52, colour, lit=True)


def ridge(canvas: Canvas, rng: Random, y: float, swing: float, colours: tuple[RGB, RGB]) -> None:
    """A rolling hill from edge to edge, filled down to the bottom of the picture."""
    phase = rng.uniform(0, math.tau)
    wave = [(x, y + swing * math.sin(x / canvas.width * 4.2 + phase)) for x in range(-8, canvas.width + 17, 8)]
    canvas.gradient([*wave, (canvas.width + 16, canvas.height), (-8, canvas.height)], colours)


def pine(canvas: Canvas, x: float, y: float, height: float, snowy: bool) -> None:
    with canvas.frame(x, y, height):
        canvas.box(-0.06, -0.18, 0.06, 0, (100, 70, 52))
        for i in range(3):
            base, tip, half = -0.12 - i * 0.25, -0.54 - i * 0.23, 0.31 - i * 0.07
            canvas.polygon([(-half, base), (0, tip), (half, base)], lighter((52, 104, 84), 0.07 * i))
            if snowy:
                canvas.polygon(
                    [(-half * 0.5, (base + tip) / 2), (0, tip), (half * 0.5, (base + tip) / 2)], (244, 248, 252)
                )


def windowsill(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    canvas.gradient(_rectangle(0, 0, width, height), ((226, 208, 184), (206, 182, 156)))
    left, right, top, bottom = width * 0.13, width * 0.87, height * 0.06, height * 0.77
    canvas.box(left - 8, top - 8, right + 8, bottom + 4, FRAME)
    sky(canvas, rng, time, (left, top, right, bottom - 12))
    hill = [(left + (right - left) * i / 12, bottom - 20 + 7 * math.sin(i * 0.8 + 1)) for i in range(13)]
    canvas.gradient([(left, bottom), *hill, (right, bottom)], ((112, 150, 108), (78, 118, 84)))
    canvas.box(width / 2 - 3.5, top, width / 2 + 3.5, bottom, FRAME)
    canvas.box(left, top + (bottom - top) * 0.4 - 3, right, top + (bottom - top) * 0.4 + 3, FRAME)
    cloth = rng.choice(CURTAINS)
    for flip in (False, True):
        with canvas.frame(width if flip else 0, 0, 1, flip):
            drape = [
                (-4, -4),
                (width * 0.23, -4),
                (width * 0.19, height * 0.34),
                (width * 0.1, height * 0.68),
                (-4, height * 0.7),
            ]
            canvas.gradient(drape, (lighter(cloth, 0.12), darker(cloth, 0.12)))
            for fold in (0.055, 0.125):
                canvas.line([(width * fold * 1.4, -2), (width * fold * 0.75, height * 0.66)], 3, darker(cloth, 0.2))
    canvas.gradient(_rectangle(0, height * 0.775, width, height * 0.93), ((252, 244, 230), (228, 212, 188)))
    canvas.box(0, height * 0.93, width, height, (188, 166, 140))
    return height * 0.885


def table(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    canvas.gradient(_rectangle(0, 0, width, height * 0.7), ((176, 208, 204), (204, 224, 216)))
    tile = 32
    for row in range(math.ceil(height * 0.66 / tile)):
        canvas.box(0, row * tile, width, row * tile + 1.6, (232, 240, 236))
        for x in range(tile // 2 if row % 2 else 0, width, tile):
            canvas.box(x, row * tile, x + 1.6, (row + 1) * tile, (232, 240, 236))
    left = width * rng.choice((0.07, 0.61))
    pane = (left, height * 0.07, left + width * 0.32, height * 0.43)
    canvas.box(pane[0] - 6, pane[1] - 6, pane[2] + 6, pane[3] + 6, FRAME)
    sky(canvas, rng, time, pane)
    canvas.box((pane[0] + pane[2]) / 2 - 2, pane[1], (pane[0] + pane[2]) / 2 + 2, pane[3], FRAME)
    canvas.box(pane[0] - 9, pane[3] + 2, pane[2] + 9, pane[3] + 9, FRAME)
    top = height * 0.68
    canvas.gradient(_rectangle(0, top, width, height), ((206, 146, 92), (156, 100, 60)))
    canvas.box(0, top - 3, width, top + 4, (226, 174, 118))
    for y in (0.76, 0.9):
        canvas.box(0, height * y, width, height * y + 2, (150, 98, 60))
    with canvas.frame(width * (0.13 if left > width / 2 else 0.87), top + 10, 1):
        canvas.ellipse(0, 3, 26, 7, (244, 244, 246))
        for x, y, fruit in ((-10, -6, (222, 66, 54)), (10, -6, (246, 196, 70)), (0, -12, (128, 178, 76))):
            canvas.ellipse(x, y, 10, 10, fruit)
    return height * 0.87


def meadow(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    horizon = height * 0.58
    sky(canvas, rng, time, (0, 0, width, horizon + 12))
    ridge(canvas, rng, horizon, 9, ((136, 180, 150), (110, 160, 130)))
    ridge(canvas, rng, horizon + 0.09 * height, 6, ((120, 184, 88), (84, 146, 68)))
    for i in range(12):
        x = width * (i + rng.uniform(0.2, 0.8)) / 12
        y = height * (0.93 if i % 2 else 0.79) + rng.uniform(-6, 6)
        colour = PETALS[i % 4]
        with canvas.frame(x, y, 3.4 + (1.4 if i % 2 else 0)):
            for dx, dy in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                canvas.ellipse(dx * 0.7, dy * 0.7, 0.75, 0.75, colour)
            canvas.ellipse(0, 0, 0.55, 0.55, (244, 176, 60))
    return height * 0.88


def beach(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    sea(canvas, rng, time)
    width, height = canvas.width, canvas.height
    shore = [(x, height * 0.79 + 4 * math.sin(x / width * 6 + 1)) for x in range(-8, width + 17, 8)]
    canvas.line([(x, y - 1) for x, y in shore], 6, (242, 250, 252))
    canvas.gradient([*shore, (width + 16, height), (-8, height)], ((246, 222, 168), (222, 186, 128)))
    x = width * rng.choice((0.1, 0.9))
    with canvas.frame(x, height * 0.94, 9):
        star: list[Point] = [
            (r * math.sin(i * math.pi / 5), -r * math.cos(i * math.pi / 5)) for i, r in enumerate((1.2, 0.55) * 5)
        ]
        canvas.polygon(star, (240, 132, 96))
    return height * 0.9


def sea(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    """Open water; the place "sea" is this for a boat and the beach for everybody else."""
    width, height = canvas.width, canvas.height
    horizon = height * 0.53
    sun_x = sky(canvas, rng, time, (0, 0, width, horizon))
    canvas.gradient(_rectangle(0, horizon, width, height), ((92, 172, 208), (38, 108, 166), (24, 78, 138)))
    gleam = time.sun or (MOONLIGHT if time.sun_radius else None)
    if gleam:
        for i in range(5):
            half, y = 25 - 3 * i, horizon + height * (0.02 + 0.048 * i)
            canvas.ellipse(sun_x + (3 if i % 2 else -3), y, half, 2.6, gleam, lit=True, alpha=0.6)
    for i in range(10):
        x, y = (
            width * (i + rng.uniform(0.2, 0.8)) / 10,
            horizon + height * (0.06 + 0.085 * (i * 3 % 5)) + rng.uniform(-3, 3),
        )
        canvas.line([(x - 11, y), (x - 4, y - 2.4), (x + 4, y), (x + 11, y - 2)], 2, (150, 210, 234))
    return height * 0.9


def desert(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    horizon = height * 0.6
    sky(canvas, rng, time, (0, 0, width, horizon + 14))
    ridge(canvas, rng, horizon, 10, ((222, 168, 122), (206, 148, 102)))
    for x, tall in ((rng.uniform(0.05, 0.14), 62), (rng.uniform(0.86, 0.95), 48)):
        with canvas.frame(width * x, height * 0.75, tall * height / 256):
            for arm, w in (
                ([(0, 0.05), (0, -0.95)], 0.2),
                ([(0, -0.4), (0.3, -0.42), (0.3, -0.78)], 0.14),
                ([(0, -0.3), (-0.28, -0.32), (-0.28, -0.62)], 0.14),
            ):
                canvas.line(arm, w, (84, 144, 88))
    ridge(canvas, rng, horizon + 0.12 * height, 7, ((246, 204, 140), (220, 164, 104)))
    return height * 0.88


def snowfield(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    horizon = height * 0.56
    sky(canvas, rng, time, (0, 0, width, horizon + 14))
    ridge(canvas, rng, horizon, 11, ((206, 220, 238), (186, 204, 228)))
    for i in range(4):
        x = width * ((0.06, 0.2, 0.8, 0.95)[i] + rng.uniform(-0.03, 0.03))
        pine(canvas, x, horizon + height * 0.13, height * rng.uniform(0.2, 0.28), snowy=True)
    ridge(canvas, rng, horizon + 0.11 * height, 5, ((250, 252, 255), (214, 226, 242)))
    for i in range(14):
        x, y = width * (i + rng.uniform(0.1, 0.9)) / 14, height * (0.06 + 0.9 * ((i * 5) % 14) / 14)
        canvas.ellipse(x, y, 2.1, 2.1, (255, 255, 255), lit=not time.lamps)
    return height * 0.88


def street(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    kerb = height * 0.68
    sky(canvas, rng, time, (0, 0, width, kerb - 30))
    first, x, i = rng.randrange(len(HOUSE_FRONTS)), -8.0, 0
    while x < width:
        wide, tall = 56, height * (0.4, 0.52, 0.34, 0.46)[(first + i) % 4]
        front = HOUSE_FRONTS[(first + i) % len(HOUSE_FRONTS)]
        canvas.gradient(_rectangle(x, kerb - tall, x + wide, kerb + 4), (lighter(front, 0.12), darker(front, 0.08)))
        canvas.box(x - 1, kerb - tall - 4, x + wide + 1, kerb - tall + 3, darker(front, 0.25))
        for row in range(int((tall - 14) // 26)):
            for column in range(2):
                left, top = x + 9 + 24 * column, kerb - tall + 13 + 26 * row
                lamp = time.lamps and (row + column + i) % 3 != 0
                canvas.box(left, top, left + 14, top + 17, LAMP_LIGHT if lamp else (110, 132, 160), lit=lamp)
        x, i = x + wide, i + 1
    canvas.box(0, kerb, width, kerb + height * 0.05, (202, 196, 190))
    canvas.box(0, kerb + height * 0.05, width, kerb + height * 0.065, (150, 146, 144))
    canvas.gradient(_rectangle(0, kerb + height * 0.065, width, height), ((112, 114, 124), (84, 86, 96)))
    for dash in range(-1, width // 60 + 1):
        canvas.box(dash * 60 + 12, height * 0.945, dash * 60 + 46, height * 0.962, (236, 230, 206))
    return height * 0.89


def forest(canvas: Canvas, rng: Random, time: TimeOfDay) -> float:
    width, height = canvas.width, canvas.height
    floor = height * 0.66
    sky(canvas, rng, time, (0, 0, width, floor))
    canvas.gradient(_rectangle(0, floor - height * 0.13, width, floor + 16), ((112, 150, 122), (88, 128, 96)))
    for x, half, shade in ((0.05, 13, 0.0), (0.24, 8, 0.35), (0.72, 8, 0.35), (0.94, 14, 0.0)):
        centre = width * (x + rng.uniform(-0.02, 0.02))
        bark = mix((116, 82, 60), (150, 150, 140), shade)
        foot = floor + (16 if shade == 0 else 6)
        trunk = [(centre - half, -2), (centre + half, -2), (centre + half * 1.25, foot), (centre - half * 1.25, foot)]
        canvas.polygon(trunk, bark)
        canvas.polygon([(centre + half * 0.3, -2), trunk[1], trunk[2], (centre + half * 0.5, foot)], darker(bark, 0.22))
    for i in range(8):
        x = width * (i + 0.5) / 8 + rng.uniform(-5, 5)
        green = ((60, 122, 70), (78, 142, 80))[i % 2]
        canvas.ellipse(x, rng.uniform(-6, 4) + (12 if i % 2 else 0), width / 11, height * 0.085, green)
    ridge(canvas, rng, floor + 4, 4, ((104, 152, 88), (62, 108, 64)))
    for i in range(8):
        x, y = width * (i + rng.uniform(0.2, 0.8)) / 8, height * (0.97 if i % 2 else 0.77)
        for lean in (-5, 0, 5):
            canvas.line([(x, y), (x + lean, y - 11)], 2.4, (140, 186, 104))
    return height * 0.88


def _rectangle(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


PLACES: dict[str, Callable[[Canvas, Random, TimeOfDay], float]] = {
    "windowsill": windowsill,
    "table": table,
    "meadow": meadow,
    "sea": beach,
    "desert": desert,
    "snowfield": snowfield,
    "street": street,
    "forest": forest,
}
"""Each draws the place on the canvas and returns the y, in pixels, on which a subject stands."""
INDOORS = ("windowsill", "table")
