"""The scenes that the embedded model `pocket` learns from: what is in one, how it is drawn, and which are held out.

A scene is one or two things of a colour and a size at a place and a time of day. `render(seed, width, height)` gives
the same picture and captions for the same seed, everywhere.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from random import Random

from PIL import Image

from .captions import caption
from .drawing import Canvas
from .palette import COLOURS, TIMES, Look, TimeOfDay, mix
from .places import INDOORS, PLACES, sea
from .subjects import COLOUR_NAMES, SUBJECTS, TABBY_COATS

SIZES: tuple[tuple[int, int], ...] = ((256, 256), (320, 192), (192, 320))
"""The widths and heights of the pictures the model is trained on."""
SCALES = {"small": 0.72, "medium": 1.0, "large": 1.18}
POSITIONS = {"left": 0.29, "centre": 0.5, "right": 0.71}
CAPTIONS = 3
"""Captions for one picture."""
HELD_OUT = 14
"""One combination in this many is never trained on."""


@dataclass(frozen=True)
class Thing:
    subject: str
    colour: str
    striped: bool = False
    size: str = "medium"


@dataclass(frozen=True)
class Scene:
    """One thing, or two beside each other (the first on the left)."""

    things: tuple[Thing, ...]
    place: str
    time: str
    position: str = "centre"


@dataclass(frozen=True)
class Example:
    scene: Scene
    picture: Image.Image
    captions: tuple[str, ...]


BENCHMARK = Scene((Thing("cat", "orange", striped=True),), "windowsill", "sunset")
"""A fluffy orange tabby cat sitting on a windowsill at sunset: the picture everybody asks for is in the training."""


def is_held_out(scene: Scene) -> bool:
    """Whether the scene shows a (subject, colour, place, time) that is kept for the evaluation."""

    def kept(thing: Thing) -> bool:
        combination = f"{thing.subject} {thing.colour} {scene.place} {scene.time}"
        return zlib.crc32(combination.encode()) % HELD_OUT == 0

    benchmark = BENCHMARK.things[0]
    is_benchmark = (scene.place, scene.time) == (BENCHMARK.place, BENCHMARK.time) and any(
        (thing.subject, thing.colour) == (benchmark.subject, benchmark.colour) for thing in scene.things
    )
    return not is_benchmark and any(kept(thing) for thing in scene.things)


def held_out_scenes(count: int) -> list[Scene]:
    """`count` single-subject scenes that are never trained on, spread evenly over the subjects."""
    every = [
        Scene((Thing(subject, colour, striped=subject == "cat" and colour in TABBY_COATS),), place, time)
        for subject, about in SUBJECTS.items()
        for colour in COLOUR_NAMES
        for place in about.places
        for time in TIMES
    ]
    kept = [scene for scene in every if is_held_out(scene)]
    Random(0).shuffle(kept)
    turns: dict[str, int] = {}
    order: list[tuple[int, int]] = []
    for index, scene in enumerate(kept):
        subject = scene.things[0].subject
        turns[subject] = turns.get(subject, 0) + 1
        order.append((turns[subject], index))
    return [kept[index] for _, index in sorted(order)[:count]]


def sample(rng: Random) -> Scene:
    """A random scene, held-out ones included."""
    if rng.random() < 0.015:
        return BENCHMARK
    first = rng.choice(tuple(SUBJECTS)) if rng.random() < 0.9 else "cat"
    place = rng.choice(SUBJECTS[first].places)
    time = rng.choice(tuple(TIMES))
    partners = [
        name for name, subject in SUBJECTS.items() if place in subject.places and name not in ("sailboat", "balloon")
    ]
    if rng.random() < 0.18 and first in partners:
        second = rng.choice(partners)
        return Scene((_thing(first, rng), _thing(second, rng)), place, time)
    size = rng.choices(tuple(SCALES), (0.17, 0.66, 0.17))[0]
    position = rng.choices(tuple(POSITIONS), (0.18, 0.64, 0.18))[0]
    return Scene((_thing(first, rng, size),), place, time, position)


def _thing(subject: str, rng: Random, size: str = "medium") -> Thing:
    natural = SUBJECTS[subject].natural
    colour = rng.choice(natural if natural and rng.random() < 0.4 else COLOUR_NAMES)
    striped = subject == "cat" and rng.random() < (0.75 if colour in TABBY_COATS else 0.12)
    return Thing(subject, colour, striped, size)


def draw(scene: Scene, rng: Random, width: int, height: int) -> Image.Image:
    """The scene as a picture; `rng` moves what it leaves open (clouds, hills, a little of the position)."""
    time = TIMES[scene.time]
    indoors = scene.place in INDOORS
    canvas = Canvas(width, height, mix(time.ambient, (1.0, 0.94, 0.84), 0.25) if indoors else time.ambient)
    background = sea if scene.things[0].subject == "sailboat" else PLACES[scene.place]
    ground = background(canvas, rng, time)
    pair = len(scene.things) == 2
    for index, thing in enumerate(scene.things):
        middle = (0.28, 0.72)[index] if pair else POSITIONS[scene.position]
        _stand(canvas, rng, thing, time, width * (middle + rng.uniform(-0.025, 0.025)), ground, 0.8 if pair else 1.0)
    return canvas.picture()


def _stand(canvas: Canvas, rng: Random, thing: Thing, time: TimeOfDay, x: float, ground: float, scale: float) -> None:
    """Draw one thing with its shadow, its feet at (x, ground)."""
    subject = SUBJECTS[thing.subject]
    frame = min(canvas.width * (1.0 if scale == 1 else 0.95), canvas.height * 1.08, 256)
    unit = subject.height * frame / 256 * SCALES[thing.size] * scale * rng.uniform(0.96, 1.04)
    x = min(max(x, 0.5 * unit), canvas.width - 0.5 * unit)
    y = ground + canvas.height * ((1 - SCALES[thing.size]) * -0.05 + rng.uniform(-0.012, 0.012))
    if thing.subject == "sailboat":
        y = canvas.height * rng.uniform(0.74, 0.78)
    elif thing.subject == "balloon":
        y = max(canvas.height * (0.34 + rng.uniform(-0.03, 0.03)) + unit * 0.5, unit * 1.05)
    else:
        with canvas.frame(x, y, unit):
            canvas.ellipse(0.03, 0, 0.62 if thing.subject == "car" else 0.44, 0.06, (16, 14, 34), lit=True, alpha=0.3)
    flip = not subject.upright and rng.random() < 0.5
    with canvas.figure(time.subject_ambient, time.rim, (-0.7, -0.7)), canvas.frame(x, y, unit, flip):
        subject.draw(canvas, Look(COLOURS[thing.colour], thing.striped, time.lamps))


def render(seed: int, width: int, height: int, held_out: bool = False) -> Example:
    """The scene of this seed, drawn and described; of the training set, or of the held-out one."""
    rng = Random(seed)
    scene = sample(rng)
    while is_held_out(scene) != held_out:
        scene = sample(rng)
    picture = draw(scene, rng, width, height)
    return Example(scene, picture, tuple(caption(scene, rng) for _ in range(CAPTIONS)))
