"""The animals of the pocket scenes, in a unit box: feet at y = 0, height about 1, big heads and big eyes.

Faces are large on purpose: the model sees 16 x 16 pixels as one token, and an eye has to be more than a part of one.
"""

from __future__ import annotations

from .drawing import Canvas
from .palette import BLUSH, INK, RGB, Look, darker, is_dark, lighter

WHITE: RGB = (255, 255, 255)
BOTH = (-1, 1)
"""The left and the right side of a symmetrical animal."""


def eye(canvas: Canvas, x: float, y: float, radius: float, iris: RGB) -> None:
    """A round eye with a coloured iris, a large pupil and a highlight."""
    canvas.ellipse(x, y, radius, radius * 1.08, INK)
    canvas.ellipse(x, y, radius * 0.82, radius * 0.9, iris)
    canvas.ellipse(x, y, radius * 0.52, radius * 0.66, INK)
    canvas.ellipse(x + radius * 0.32, y - radius * 0.36, radius * 0.3, radius * 0.3, WHITE, lit=True)


def _belly(coat: RGB) -> RGB:
    return lighter(coat, 0.16) if is_dark(coat) else lighter(coat, 0.55)


def cat(canvas: Canvas, look: Look) -> None:
    coat = look.colour
    pale, stripe = _belly(coat), darker(coat, 0.5)
    canvas.line([(0.2, -0.07), (0.43, -0.08), (0.5, -0.25), (0.42, -0.42)], 0.12, coat)
    if look.striped:
        canvas.line([(0.45, -0.16), (0.53, -0.19)], 0.05, stripe)
        canvas.line([(0.43, -0.3), (0.53, -0.29)], 0.05, stripe)
    canvas.ellipse(0, -0.22, 0.29, 0.24, coat)
    if look.striped:
        for side in BOTH:
            for y in (-0.3, -0.2, -0.1):
                canvas.polygon([(side * 0.3, y - 0.03), (side * 0.3, y + 0.03), (side * 0.13, y + 0.01)], stripe)
    canvas.ellipse(0, -0.19, 0.14, 0.19, pale)
    for side in BOTH:
        canvas.ellipse(side * 0.1, -0.05, 0.09, 0.055, pale)
        canvas.polygon([(side * 0.33, -0.62), (side * 0.32, -1.03), (side * 0.04, -0.84)], coat)
        canvas.polygon([(side * 0.27, -0.74), (side * 0.275, -0.93), (side * 0.12, -0.83)], BLUSH)
    canvas.ellipse(0, -0.6, 0.37, 0.285, coat)
    if look.striped:
        for x in (-0.11, 0, 0.11):
            canvas.polygon([(x - 0.03, -0.885), (x + 0.03, -0.885), (x * 0.8, -0.74)], stripe)
        for side in BOTH:
            for y in (-0.62, -0.51):
                canvas.polygon([(side * 0.37, y - 0.028), (side * 0.36, y + 0.028), (side * 0.25, y)], stripe)
    canvas.ellipse(0, -0.475, 0.15, 0.105, pale)
    iris = (236, 196, 60) if is_dark(coat) else (128, 190, 84)
    for side in BOTH:
        eye(canvas, side * 0.165, -0.62, 0.088, iris)
        canvas.line([(side * 0.13, -0.475), (side * 0.4, -0.5)], 0.013, WHITE)
        canvas.line([(side * 0.13, -0.455), (side * 0.39, -0.43)], 0.013, WHITE)
    canvas.polygon([(-0.045, -0.535), (0.045, -0.535), (0, -0.485)], (228, 116, 122))
    canvas.line([(-0.075, -0.455), (-0.04, -0.43), (0, -0.455), (0.04, -0.43), (0.075, -0.455)], 0.018, INK)


def dog(canvas: Canvas, look: Look) -> None:
    coat = look.colour
    pale, ear = _belly(coat), darker(coat, 0.42) if not is_dark(coat) else lighter(coat, 0.14)
    canvas.line([(0.2, -0.14), (0.4, -0.26), (0.46, -0.42)], 0.1, coat)
    canvas.ellipse(0, -0.22, 0.28, 0.24, coat)
    canvas.ellipse(0, -0.17, 0.15, 0.18, pale)
    for side in BOTH:
        canvas.ellipse(side * 0.11, -0.05, 0.1, 0.06, pale)
    canvas.ellipse(0, -0.62, 0.33, 0.3, coat)
    for side in BOTH:
        canvas.ellipse(side * 0.35, -0.56, 0.11, 0.25, ear, turn=-side * 0.22)
    canvas.ellipse(0, -0.5, 0.19, 0.155, pale)
    for side in BOTH:
        eye(canvas, side * 0.14, -0.69, 0.078, (140, 92, 56))
    canvas.ellipse(0, -0.4, 0.055, 0.065, (236, 112, 124))
    canvas.ellipse(0, -0.57, 0.082, 0.058, INK)
    canvas.line([(-0.1, -0.475), (-0.05, -0.445), (0, -0.475), (0.05, -0.445), (0.1, -0.475)], 0.022, INK)
    canvas.line([(-0.21, -0.345), (0, -0.31), (0.21, -0.345)], 0.055, (206, 52, 52))
    canvas.ellipse(0, -0.275, 0.048, 0.048, (248, 208, 84))


def fox(canvas: Canvas, look: Look) -> None:
    coat = look.colour
    white: RGB = (250, 244, 236)
    sock = darker(coat, 0.62)
    canvas.blob([(0.14, -0.04), (0.4, -0.02), (0.6, -0.2), (0.52, -0.46), (0.4, -0.3), (0.24, -0.18)], coat)
    canvas.blob([(0.53, -0.47), (0.6, -0.26), (0.5, -0.24), (0.42, -0.31)], white)
    canvas.ellipse(0, -0.22, 0.25, 0.24, coat)
    canvas.ellipse(0, -0.24, 0.13, 0.18, white)
    for side in BOTH:
        canvas.ellipse(side * 0.1, -0.05, 0.085, 0.055, sock)
        canvas.polygon([(side * 0.36, -0.62), (side * 0.33, -1.06), (side * 0.05, -0.8)], coat)
        canvas.polygon([(side * 0.29, -0.76), (side * 0.305, -0.95), (side * 0.14, -0.82)], sock)
    face = [
        (-0.4, -0.58),
        (-0.24, -0.82),
        (0, -0.87),
        (0.24, -0.82),
        (0.4, -0.58),
        (0.16, -0.42),
        (0, -0.35),
        (-0.16, -0.42),
    ]
    canvas.polygon(face, coat)
    for side in BOTH:
        canvas.polygon([(side * 0.4, -0.58), (side * 0.13, -0.58), (0, -0.36), (side * 0.16, -0.42)], white)
        eye(canvas, side * 0.15, -0.64, 0.076, (236, 170, 64))
    canvas.ellipse(0, -0.385, 0.06, 0.046, INK)


def rabbit(canvas: Canvas, look: Look) -> None:
    coat = look.colour
    pale = _belly(coat)
    canvas.ellipse(0.28, -0.11, 0.1, 0.1, pale)
    canvas.ellipse(0, -0.2, 0.26, 0.21, coat)
    canvas.ellipse(0, -0.17, 0.14, 0.15, pale)
    for side in BOTH:
        canvas.ellipse(side * 0.13, -0.045, 0.11, 0.055, pale)
        canvas.ellipse(side * 0.15, -0.86, 0.095, 0.26, coat, turn=side * 0.16)
        canvas.ellipse(side * 0.15, -0.85, 0.05, 0.19, BLUSH, turn=side * 0.16)
    canvas.ellipse(0, -0.5, 0.31, 0.25, coat)
    for side in BOTH:
        canvas.ellipse(side * 0.075, -0.405, 0.085, 0.068, pale)
        eye(canvas, side * 0.15, -0.54, 0.08, (170, 96, 76))
    canvas.box(-0.035, -0.365, 0.035, -0.3, (254, 252, 248))
    canvas.polygon([(-0.045, -0.465), (0.045, -0.465), (0, -0.415)], (226, 110, 124))


def owl(canvas: Canvas, look: Look) -> None:
    coat = look.colour
    pale, wing, beak = _belly(coat), darker(coat, 0.35) if not is_dark(coat) else lighter(coat, 0.12), (242, 156, 52)
    for side in BOTH:
        canvas.polygon([(side * 0.34, -0.72), (side * 0.34, -1.02), (side * 0.08, -0.88)], wing)
        canvas.ellipse(side * 0.13, -0.02, 0.1, 0.045, beak)
    canvas.ellipse(0, -0.47, 0.37, 0.46, coat)
    canvas.ellipse(0, -0.28, 0.22, 0.24, pale)
    for y, xs in ((-0.36, (-0.1, 0.0, 0.1)), (-0.24, (-0.06, 0.06))):
        for x in xs:
            canvas.line([(x - 0.04, y), (x, y + 0.04), (x + 0.04, y)], 0.026, wing)
    for side in BOTH:
        canvas.ellipse(side * 0.35, -0.36, 0.1, 0.27, wing, turn=side * 0.12)
        canvas.ellipse(side * 0.165, -0.68, 0.18, 0.18, pale)
        eye(canvas, side * 0.155, -0.68, 0.118, (250, 196, 62))
    canvas.polygon([(-0.055, -0.61), (0.055, -0.61), (0, -0.49)], beak)
