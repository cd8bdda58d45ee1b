"""The drawn scenes: the same everywhere, all of the world they promise, and a part that is never trained on."""

from __future__ import annotations

import zlib
from collections import Counter
from random import Random

import numpy as np
import pytest

from flux2.pocket.training.captions import NOUNS, PLACE_PHRASES, TIME_PHRASES, caption, plain_caption
from flux2.pocket.training.palette import COLOURS, TIMES
from flux2.pocket.training.places import PLACES
from flux2.pocket.training.scenes import (
    BENCHMARK,
    CAPTIONS,
    SIZES,
    Scene,
    Thing,
    draw,
    held_out_scenes,
    is_held_out,
    render,
    sample,
)
from flux2.pocket.training.subjects import SUBJECTS


def scenes(count: int) -> list[Scene]:
    rng = Random(7)
    return [sample(rng) for _ in range(count)]


def test_the_same_seed_gives_the_same_picture_and_captions() -> None:
    first, second = render(11, 256, 256), render(11, 256, 256)
    assert first.captions == second.captions
    assert np.array_equal(np.asarray(first.picture), np.asarray(second.picture))
    assert not np.array_equal(np.asarray(first.picture), np.asarray(render(12, 256, 256).picture))


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_pictures_have_the_size_asked_for(width: int, height: int) -> None:
    example = render(3, width, height)
    assert example.picture.size == (width, height)
    assert len(example.captions) == CAPTIONS


def test_the_world_is_as_large_as_promised() -> None:
    assert len(SUBJECTS) >= 12
    assert len(COLOURS) == 12
    assert len(PLACES) == 8
    assert len(TIMES) == 5
    assert set(NOUNS) == set(SUBJECTS)
    assert set(PLACE_PHRASES) == set(PLACES)
    assert set(TIME_PHRASES) == set(TIMES)


def test_sampling_reaches_everything() -> None:
    drawn = scenes(4000)
    things = [thing for scene in drawn for thing in scene.things]
    assert {thing.subject for thing in things} == set(SUBJECTS)
    assert {thing.colour for thing in things} == set(COLOURS)
    assert {scene.place for scene in drawn} == set(PLACES)
    assert {scene.time for scene in drawn} == set(TIMES)
    assert {thing.size for thing in things} == {"small", "medium", "large"}
    assert {scene.position for scene in drawn} == {"left", "centre", "right"}
    pairs = sum(len(scene.things) == 2 for scene in drawn) / len(drawn)
    assert 0.05 < pairs < 0.3


def test_subjects_stay_where_they_may_be() -> None:
    for scene in scenes(2000):
        assert all(scene.place in SUBJECTS[thing.subject].places for thing in scene.things)


def test_training_and_held_out_scenes_never_meet() -> None:
    for seed in range(40):
        assert not is_held_out(render(seed, 32, 32).scene)
        assert is_held_out(render(seed, 32, 32, held_out=True).scene)


def test_the_split_is_the_one_the_model_was_trained_with() -> None:
    """Changing it would make the published scores wrong: they would be of captions the model has seen."""
    names = sorted(plain_caption(scene) for scene in held_out_scenes(10_000))
    assert len(names) == 382
    assert zlib.crc32("\n".join(names).encode()) == 376023323


def test_held_out_scenes_are_many_distinct_and_of_every_kind() -> None:
    kept = held_out_scenes(240)
    assert len(set(kept)) == 240
    by_subject = Counter(scene.things[0].subject for scene in kept)
    assert set(by_subject) == set(SUBJECTS)
    assert {scene.things[0].colour for scene in kept} == set(COLOURS)
    assert {scene.place for scene in kept} == set(PLACES)
    assert {scene.time for scene in kept} == set(TIMES)


def test_the_benchmark_picture_is_in_the_training() -> None:
    assert not is_held_out(BENCHMARK)
    assert plain_caption(BENCHMARK) == "An orange tabby cat on a windowsill at sunset"


def test_a_pair_is_held_out_when_one_of_the_two_is() -> None:
    kept = held_out_scenes(1)[0]
    partner = Thing("mug", "red")
    for things in ((kept.things[0], partner), (partner, kept.things[0])):
        assert is_held_out(Scene(things, kept.place, kept.time))


def test_captions_say_what_is_there() -> None:
    rng = Random(1)
    words_of_time = {time: TIME_PHRASES[time] for time in TIMES}
    named = Counter[str]()
    for scene in scenes(600):
        text = caption(scene, rng).lower()
        named["all"] += 1
        named["subject"] += all(any(noun in text for noun in NOUNS[thing.subject]) for thing in scene.things)
        named["time"] += any(phrase in text for phrase in words_of_time[scene.time])
        others = [p for time, phrases in words_of_time.items() if time != scene.time for p in phrases]
        assert not any(f"{phrase} " in f"{text} " for phrase in others), text
    assert named["subject"] == named["all"]
    assert 0.9 < named["time"] / named["all"] < 1


def test_captions_vary() -> None:
    rng = Random(2)
    texts = {caption(BENCHMARK, rng) for _ in range(200)}
    assert len(texts) > 150
    assert min(len(text) for text in texts) < 50 < 90 < max(len(text) for text in texts)


def test_the_second_thing_is_on_the_right_whatever_the_sentence_says_first() -> None:
    scene = Scene((Thing("cat", "black"), Thing("mug", "red")), "table", "noon")
    rng = Random(3)
    texts = [caption(scene, rng).lower() for _ in range(300)]
    swapped = [text for text in texts if "to the right of" in text]
    assert swapped
    assert all(text.index("right of") < max(text.find("cat"), text.find("kit")) for text in swapped)


def test_a_red_mug_is_red_and_a_blue_one_blue() -> None:
    """Pixels where the two pictures differ are red in the red one, at every time of day."""
    for time in TIMES:
        red, blue = (
            np.asarray(draw(Scene((Thing("mug", colour),), "meadow", time), Random(5), 256, 256), np.float32)
            for colour in ("red", "blue")
        )
        changed = np.abs(red - blue).sum(-1) > 120
        assert changed.sum() > 1500
        assert red[changed].mean(0).argmax() == 0
        assert blue[changed].mean(0).argmax() == 2


def test_night_is_darker_than_noon() -> None:
    for place in PLACES:
        noon, night = (
            np.asarray(draw(Scene((Thing("cat", "grey"),), place, time), Random(5), 256, 256)).mean()
            for time in ("noon", "night")
        )
        assert night < 0.7 * noon
