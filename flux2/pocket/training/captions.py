"""Plain English for a scene: synonyms, sentence forms, and words that mean nothing to the picture."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scenes import Scene, Thing

NOUNS: dict[str, tuple[str, ...]] = {
    "cat": ("cat", "cat", "cat", "kitty", "kitten"),
    "dog": ("dog", "dog", "puppy"),
    "fox": ("fox",),
    "rabbit": ("rabbit", "rabbit", "bunny"),
    "owl": ("owl",),
    "sailboat": ("sailboat", "sailing boat", "boat"),
    "house": ("house", "house", "cottage", "home"),
    "tree": ("tree",),
    "balloon": ("hot-air balloon", "hot air balloon", "balloon"),
    "car": ("car", "car", "automobile"),
    "lighthouse": ("lighthouse",),
    "mushroom": ("mushroom", "mushroom", "toadstool"),
    "mug": ("mug", "coffee mug", "cup", "cup of coffee"),
    "flower": ("flower", "flower", "potted flower", "flower in a pot"),
}
VERBS: dict[str, tuple[str, ...]] = {
    "cat": ("sitting", "sitting", "resting", "sits"),
    "dog": ("sitting", "waiting", "sits"),
    "fox": ("sitting", "resting", "sits"),
    "rabbit": ("sitting", "resting", "sits"),
    "owl": ("sitting", "perched", "sits"),
    "sailboat": ("sailing", "floating"),
    "house": ("standing", ""),
    "tree": ("growing", "standing", ""),
    "balloon": ("floating", "flying", "drifting"),
    "car": ("parked", "driving", ""),
    "lighthouse": ("standing", "shining"),
    "mushroom": ("growing", "standing", ""),
    "mug": ("standing", "", ""),
    "flower": ("standing", "blooming", ""),
}
ADJECTIVES: dict[str, tuple[str, ...]] = {
    "cat": ("fluffy", "cute", "furry", "curious"),
    "dog": ("happy", "cute", "friendly"),
    "fox": ("cute", "clever", "sly"),
    "rabbit": ("cute", "fluffy", "soft"),
    "owl": ("wise", "round", "feathery"),
    "sailboat": ("pretty", "wooden"),
    "house": ("cozy", "quaint"),
    "tree": ("round", "leafy"),
    "balloon": ("bright", "striped"),
    "car": ("shiny", "vintage", "old"),
    "lighthouse": ("striped", "tall"),
    "mushroom": ("spotted", "round"),
    "mug": ("steaming", "hot", "ceramic"),
    "flower": ("pretty", "blooming", "fresh"),
}
ANY_ADJECTIVE = (
    "beautiful",
    "lovely",
    "single",
    "charming",
    "wonderful",
    "simple",
    "colorful",
    "quiet",
    "lonely",
    "nice",
)
COLOUR_WORDS: dict[str, tuple[str, ...]] = {
    "grey": ("grey", "gray"),
    "purple": ("purple", "purple", "violet"),
    "teal": ("teal", "teal", "turquoise"),
}
SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "little", "tiny"),
    "large": ("large", "big", "huge"),
    "medium": ("",),
}
POSITIONS: dict[str, tuple[str, ...]] = {
    "left": ("on the left", "on the left side", "to the left"),
    "right": ("on the right", "on the right side", "to the right"),
    "centre": ("", "", "", "", "", "", "in the center", "in the middle"),
}
PLACE_PHRASES: dict[str, tuple[str, ...]] = {
    "windowsill": ("on a windowsill", "on the windowsill", "by the window", "on a window sill", "at the window"),
    "table": ("on a kitchen table", "on the kitchen table", "on a wooden table in the kitchen", "in the kitchen"),
    "meadow": ("in a meadow", "in a flowery meadow", "on a green meadow", "in a field of flowers", "on the grass"),
    "sea": ("by the sea", "at the beach", "on the beach", "at the seaside", "by the ocean"),
    "desert": ("in the desert", "in a sandy desert", "among desert dunes", "in the desert sand"),
    "snowfield": ("in the snow", "on a snowfield", "in a snowy landscape", "in a snowy field", "in winter"),
    "street": ("on a city street", "in the city", "on the street", "in town", "in a city street"),
    "forest": ("in the forest", "in a forest", "in the woods", "among tall trees"),
}
ON_WATER = ("on the sea", "at sea", "on the ocean", "on calm water", "on the water")
IN_THE_AIR: dict[str, tuple[str, ...]] = {
    "meadow": ("over a meadow", "above a green meadow", "over a flowery meadow"),
    "sea": ("over the sea", "above the ocean", "over the beach"),
    "desert": ("over the desert", "above the dunes"),
    "snowfield": ("over a snowy landscape", "above the snow", "over a snowfield"),
    "street": ("over the city", "above a city street", "over the town"),
    "forest": ("over the forest", "above the woods"),
}
TIME_PHRASES: dict[str, tuple[str, ...]] = {
    "dawn": ("at dawn", "at sunrise", "in the early morning", "in soft morning light"),
    "noon": ("at noon", "on a sunny day", "in bright daylight", "at midday", "during the day"),
    "sunset": ("at sunset", "in the evening sun", "in golden sunset light", "as the sun sets"),
    "dusk": ("at dusk", "at twilight", "in the blue hour", "after sunset"),
    "night": ("at night", "under the moon", "under the stars", "in the moonlight", "on a starry night"),
}
OPENINGS = ("a picture of", "an illustration of", "a painting of", "a drawing of", "a photo of", "an image of")
STYLES = (
    "highly detailed", "soft light", "beautiful colors", "masterpiece", "cartoon style", "flat illustration",
    "storybook style", "calm mood", "4k", "best quality", "clean lines", "children's book art", "minimalist",
    "warm mood",
    "vector art", "peaceful scene", "wide shot", "digital art", "pastel tones", "studio quality", "cinematic lighting",
    "photorealistic", "sharp focus", "trending on artstation", "8k", "professional photography", "watercolor",
)  # fmt: skip
EVERYDAY_WORDS = (
    "the quick brown fox jumps over lazy dogs while people walk home with their friends and family after work; "
    "some think about music, water, fire, stone, glass, metal, paper, science, computer, robot, dragon, castle, "
    "mountain, river, garden, flowers, animals, birds, horse, woman, man, girl, boy, child, wearing a hat, holding, "
    "looking, running, jumping, sleeping, smiling, eating, reading a book, playing the guitar, portrait, landscape"
)
"""Captions for the tokenizer: words people type that no scene shows."""


def caption(scene: Scene, rng: Random) -> str:
    """One way to say what the scene shows. Rarely the time, the place, or a colour is left out."""
    things = [_thing(thing, rng, alone=len(scene.things) == 1) for thing in scene.things]
    time = rng.choice(TIME_PHRASES[scene.time]) if rng.random() < 0.96 else ""
    place = _place(scene, rng) if rng.random() < 0.97 else ""
    if len(things) == 2:
        subject = _pair(things[0], things[1], rng)
    else:
        verb = rng.choice(VERBS[scene.things[0].subject]) if rng.random() < 0.7 else ""
        where = rng.choice(POSITIONS[scene.position]) if rng.random() < 0.9 else ""
        place = (
            ", ".join(filter(None, rng.sample((place, where), 2)))
            if "," not in where and rng.random() < 0.3
            else f"{place} {where}"
        )
        subject = f"{things[0]} {verb}"
    form = rng.random()
    if form < 0.55:
        text = f"{subject} {place} {time}"
    elif form < 0.68:
        text = f"{time}, {subject} {place}"
    elif form < 0.82:
        text = f"{subject} {place}, {time}"
    elif form < 0.92:
        text = f"{rng.choice(OPENINGS)} {subject} {place} {time}"
    else:
        text = f"{subject.removeprefix('an ').removeprefix('a ')}, {place}, {time}"
    if rng.random() < 0.16:
        text += ", " + ", ".join(rng.sample(STYLES, rng.choice((1, 1, 2))))
    return _tidy(text, rng)


def plain_caption(scene: Scene) -> str:
    """The plainest sentence, the same for every call: what the evaluation asks for."""
    thing = scene.things[0]
    words = [thing.colour, "tabby" if thing.striped else "", NOUNS[thing.subject][0]]
    noun = " ".join(filter(None, words))
    return f"{_article(noun)} {noun} {_place_phrases(scene)[0]} {TIME_PHRASES[scene.time][0]}".capitalize()


def _thing(thing: Thing, rng: Random, alone: bool) -> str:
    """ "a small fluffy orange tabby cat" """
    colour = rng.choice(COLOUR_WORDS.get(thing.colour, (thing.colour,)))
    if thing.striped:
        colour = rng.choice((f"{colour} tabby", f"{colour} tabby", f"{colour} striped", f"striped {colour}"))
        if thing.colour == "orange" and rng.random() < 0.2:
            colour = rng.choice(("ginger tabby", "ginger striped"))
    elif thing.subject == "cat" and thing.colour == "orange" and rng.random() < 0.2:
        colour = "ginger"
    if rng.random() < 0.03:
        colour = ""
    adjective = ""
    if rng.random() < 0.4:
        adjective = rng.choice(ADJECTIVES[thing.subject] if rng.random() < 0.75 else ANY_ADJECTIVE)
    size = rng.choice(SIZES[thing.size]) if alone and rng.random() < 0.9 else ""
    noun = rng.choice(NOUNS[thing.subject])
    if alone and colour and rng.random() < 0.05:
        text = " ".join(filter(None, (size, adjective, noun, "that is", colour)))
    else:
        text = " ".join(filter(None, (size, adjective, colour, noun)))
    return f"{_article(text)} {text}" if rng.random() < 0.95 else f"the {text}"


def _pair(left: str, right: str, rng: Random) -> str:
    """The first thing is drawn on the left, unless the sentence says otherwise."""
    form = rng.random()
    if form < 0.5:
        return f"{left} and {right}"
    if form < 0.7:
        return f"{left} {rng.choice(('next to', 'beside'))} {right}"
    if form < 0.85:
        return f"{left} to the left of {right}"
    return f"{right} to the right of {left}"


def _place_phrases(scene: Scene) -> tuple[str, ...]:
    if scene.things[0].subject == "sailboat":
        return ON_WATER
    return IN_THE_AIR[scene.place] if scene.things[0].subject == "balloon" else PLACE_PHRASES[scene.place]


def _place(scene: Scene, rng: Random) -> str:
    return rng.choice(_place_phrases(scene))


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def _tidy(text: str, rng: Random) -> str:
    text = " ".join(text.split()).replace(" ,", ",").replace(",,", ",").strip(", ")
    if rng.random() < 0.7:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.2 else "")
