"""A field of a request is declared in one place; what is to be known of it follows from that everywhere."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from flux2.request import GenerationRequest
from flux2.request_fields import decisive, lines, recipe, said_of


def test_what_means_the_same_decides_the_same() -> None:
    asked = GenerationRequest(prompt="a fox", model="klein-4b", seed=1)
    assert decisive(asked) == decisive(replace(asked, model="black-forest-labs/FLUX.2-klein-4B", negative_prompt=""))
    assert decisive(asked) != decisive(replace(asked, negative_prompt="a dog"))


def test_what_is_at_its_default_is_left_out_of_what_decides() -> None:
    assert decisive(GenerationRequest(prompt="a fox", seed=1)) == {"prompt": "a fox", "seed": 1}


def test_a_recipe_has_nothing_of_the_run() -> None:
    asked = GenerationRequest(prompt="a fox", vae="a/b", force=True, keep_text_encoder=True, output="fox.png")
    assert recipe(asked) == GenerationRequest(prompt="a fox", vae="a/b")


def test_what_is_told_of_a_picture_stands_on_its_lines() -> None:
    asked = GenerationRequest(prompt="a fox", model="klein-4b", quantization="int4", width=320, height=192, steps=4)
    assert lines(asked) == {"prompt": "a fox", "model": "klein-4b, int4", "size": "320×192", "steps": "4"}


@pytest.mark.parametrize("field", fields(GenerationRequest), ids=lambda field: field.name)
def test_every_field_says_something_of_itself(field: object) -> None:
    assert field.metadata, "declare it with `about`"  # type: ignore[attr-defined]


def test_what_decides_the_picture_is_told_beside_it() -> None:
    silent = [field.name for field in fields(GenerationRequest) if said_of(field).decides and not said_of(field).line]
    assert silent == []
