"""What the pocket scenes are about: every subject with how it is drawn, how large, and where it may be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from . import animals, objects
from .drawing import Canvas
from .palette import COLOURS, Look
from .places import INDOORS, PLACES

OUTDOORS = tuple(place for place in PLACES if place not in INDOORS)


@dataclass(frozen=True)
class Subject:
    """`height` is in pixels of a 256-pixel picture; `natural` are the colours it has more often than the others."""

    draw: Callable[[Canvas, Look], None]
    height: float
    natural: tuple[str, ...] = ()
    places: tuple[str, ...] = tuple(PLACES)
    upright: bool = False
    """Never mirrored."""


SUBJECTS: dict[str, Subject] = {
    "cat": Subject(animals.cat, 152, ("orange", "black", "white", "grey", "brown")),
    "dog": Subject(animals.dog, 152, ("brown", "white", "black", "yellow")),
    "fox": Subject(animals.fox, 150, ("red", "orange", "white", "grey")),
    "rabbit": Subject(animals.rabbit, 150, ("white", "brown", "grey")),
    "owl": Subject(animals.owl, 142, ("brown", "white", "grey")),
    "sailboat": Subject(objects.sailboat, 150, places=("sea",)),
    "house": Subject(objects.house, 150, places=OUTDOORS, upright=True),
    "tree": Subject(objects.tree, 162, natural=("green", "orange", "yellow", "pink"), places=OUTDOORS),
    "balloon": Subject(objects.balloon, 150, places=OUTDOORS, upright=True),
    "car": Subject(objects.car, 142, places=OUTDOORS),
    "lighthouse": Subject(objects.lighthouse, 172, natural=("red", "blue"), places=OUTDOORS, upright=True),
    "mushroom": Subject(objects.mushroom, 132, natural=("red", "brown")),
    "mug": Subject(objects.mug, 116),
    "flower": Subject(objects.flower, 148),
}
TABBY_COATS = ("orange", "brown", "grey")
"""The coats that a cat has with stripes more often than without."""
COLOUR_NAMES = tuple(COLOURS)
