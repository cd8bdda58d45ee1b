"""Pictures of every kind as people see them: nothing turned, hidden, burnt out or inverted."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flux2.pictures.as_seen import as_seen

GREY = np.array([[0, 60, 255], [128, 200, 17]], np.uint8)


def corner(image: Image.Image, at: tuple[int, int] = (0, 0)) -> tuple[int, ...]:
    seen = as_seen(image)
    assert seen.mode == "RGB"
    found = seen.getpixel(at)
    assert isinstance(found, tuple)
    return found


def reread(image: Image.Image, form: str, **named: Any) -> Image.Image:
    """The picture out of a file."""
    file = io.BytesIO()
    image.save(file, form, **named)
    return Image.open(io.BytesIO(file.getvalue()))


@pytest.mark.parametrize(
    "image",
    [
        Image.fromarray(GREY),
        Image.fromarray(GREY.astype(np.uint16) * 257),
        Image.fromarray(GREY.astype(np.int32) * 257),
        Image.fromarray(GREY.astype(np.float32) / 255),
        Image.fromarray(GREY.astype(np.float32)),
        Image.fromarray(np.dstack([GREY, np.full_like(GREY, 255)]), "LA"),
        Image.fromarray(GREY, "P"),
        reread(Image.fromarray(GREY.astype(np.uint16) * 257), "PNG"),
        reread(Image.fromarray(GREY.astype(np.uint16) * 257), "TIFF"),
        Image.fromarray(GREY).convert("RGB").convert("YCbCr"),
    ],
    ids=lambda image: image.mode,
)
def test_greys_of_any_depth(image: Image.Image) -> None:
    if image.mode == "P":
        image.putpalette([value for i in range(256) for value in (i, i, i)])
    seen = np.asarray(as_seen(image))
    assert seen.shape == (2, 3, 3)
    np.testing.assert_allclose(seen.astype(int), np.repeat(GREY[..., None], 3, axis=2).astype(int), atol=1)


def test_one_bit() -> None:
    image = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert corner(image) == (0, 0, 0)
    assert corner(image, (1, 0)) == (255, 255, 255)


def test_a_photograph_that_lies_on_its_side_is_turned() -> None:
    image = Image.new("RGB", (4, 2), (255, 0, 0))
    image.putpixel((0, 0), (0, 0, 255))
    exif = image.getexif()
    exif[0x0112] = 6  # a quarter to the right
    turned = reread(image, "PNG", exif=exif)
    assert as_seen(turned).size == (2, 4)
    assert corner(turned, (1, 0)) == (0, 0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGBa", "La"])
def test_what_is_transparent_is_white(mode: str) -> None:
    image = Image.new("RGBA", (2, 1), (10, 10, 10, 0))
    assert corner((image.convert("LA") if mode == "La" else image).convert(mode)) == (255, 255, 255)


def test_a_palette_with_transparency() -> None:
    image = Image.new("P", (2, 2), 3)
    image.putalpha(0)
    assert image.mode == "PA"
    assert corner(image) == (255, 255, 255)


def test_half_transparent_is_between() -> None:
    assert corner(Image.new("RGBA", (1, 1), (0, 100, 200, 128))) == pytest.approx((127, 177, 227), abs=1)


@pytest.mark.parametrize(
    ("image", "transparent"),
    [
        (Image.new("P", (2, 2), 3), 3),
        (Image.new("L", (2, 2), 77), 77),
        (Image.new("RGB", (2, 2), (1, 2, 3)), (1, 2, 3)),
        (Image.fromarray(np.full((2, 2), 4000, np.uint16)), 4000),
    ],
    ids=lambda value: getattr(value, "mode", ""),
)
def test_one_colour_that_stands_for_nothing(image: Image.Image, transparent: Any) -> None:
    if image.mode == "P":
        image.putpalette([9] * 768)
    assert corner(reread(image, "PNG", transparency=transparent)) == (255, 255, 255)


def test_inks_become_light() -> None:
    assert corner(Image.new("CMYK", (1, 1), (0, 0, 0, 0))) == (255, 255, 255)
    assert corner(Image.new("CMYK", (1, 1), (0, 0, 0, 255))) == (0, 0, 0)
    red = corner(reread(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    assert red[0] > 200 > 60 > max(red[1:])


def test_lab_has_a_meaning_without_a_profile() -> None:
    assert corner(Image.new("LAB", (1, 1), (255, 128, 128))) == pytest.approx((255, 255, 255), abs=3)


def test_a_profile_that_makes_no_sense_is_left_aside() -> None:
    image = Image.new("CMYK", (1, 1), (0, 0, 0, 0))
    image.info["icc_profile"] = b"nonsense"
    assert corner(image) == (255, 255, 255)


def test_a_picture_in_rgb_stays_as_it_is() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(as_seen(Image.fromarray(pixels))), pixels)
