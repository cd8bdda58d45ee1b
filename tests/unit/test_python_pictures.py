"""Pictures that a program hands in: PIL's or paths, one or several; anything else is refused in a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flux2.canvas.hand_in import pictures_handed_in
from flux2.errors import Flux2Error, RequestError
from flux2.references.reference_pictures import hand_in

RED, BLUE = (Image.new("RGB", (64, 96), colour) for colour in ("red", "blue"))


def fields(image: Any = None, **arguments: Any) -> dict[str, Any]:
    named = {"image_reference": None, "mask_image": None, "strength": None, "outpaint": None}
    return pictures_handed_in(image, num_inference_steps=None, **named | arguments)[0]


def test_one_or_several_of_pil_or_by_path_are_the_same_pictures(tmp_path: Path) -> None:
    RED.save(tmp_path / "red.png")
    alone, listed, by_text, by_path = (
        hand_in(images)[0] for images in (RED, (RED,), str(tmp_path / "red.png"), [tmp_path / "red.png"])
    )
    assert {found[0].digest for found in (alone, listed, by_text, by_path)} == {alone[0].digest}
    assert by_path[0].name == "red.png" and (by_path[0].width, by_path[0].height) == (64, 96)
    assert hand_in(None) == hand_in(()) == ((), {})


def test_images_are_references_and_the_one_that_is_changed_the_source(tmp_path: Path) -> None:
    assert len(fields([RED, BLUE])["references"]) == 2
    RED.save(tmp_path / "mask.png")
    changed = fields(RED, image_reference=BLUE, mask_image=tmp_path / "mask.png")
    assert changed["source"].digest == hand_in(RED)[0][0].digest
    assert changed["references"] == hand_in(BLUE)[0] and changed["mask"].width == 64


@pytest.mark.parametrize(
    ("image", "arguments", "said"),
    [
        (np.zeros((64, 64, 3), np.uint8), {}, r"image is a ndarray; give a picture of PIL \(Image.fromarray"),
        ([np.zeros((64, 64, 3))], {}, "image is a ndarray"),
        (5, {}, "image is a int"),
        (b"\x89PNG", {}, "image is a bytes"),
        ([[RED]], {}, "image is a list"),
        ([None], {}, "image is a NoneType"),
        ("gone.png", {}, r"gone\.png can't be read: No such file"),
        (RED, {"mask_image": np.zeros((64, 64))}, "mask_image is a ndarray"),
        (RED, {"mask_image": "gone.png"}, r"gone\.png can't be read"),
        (None, {"image_reference": RED}, "give references alone as image"),
        ([RED, BLUE], {"strength": 0.5}, "2 images to change; give one"),
        (RED, {"strength": "much"}, "strength is 'much'; give a number"),
        (RED, {"outpaint": 16}, "give the pixels to add"),
        (RED, {"outpaint": ("a", 0, 0, 0)}, "outpaint is 'a'; give a whole number"),
    ],
)
def test_anything_else_is_refused_in_a_sentence(image: Any, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(Flux2Error, match=said):
        fields(image, **arguments)


def test_a_picture_of_pil_that_is_half_or_closed_is_said(tmp_path: Path) -> None:
    Image.effect_noise((128, 128), 50).save(tmp_path / "x.jpg")
    content = (tmp_path / "x.jpg").read_bytes()
    (tmp_path / "x.jpg").write_bytes(content[:-2000])
    with Image.open(tmp_path / "x.jpg") as half, pytest.raises(RequestError, match="can't be read to its end"):
        hand_in(half)
    (tmp_path / "x.jpg").write_bytes(content)
    with Image.open(tmp_path / "x.jpg") as closed:
        pass
    with pytest.raises(RequestError, match="can't be read to its end"):
        hand_in(closed)
