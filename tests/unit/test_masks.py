"""Masks of any size and mode: what of the source they free, and that no painted pixel is lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from flux2.canvas.mask_drawing import Mask, blank, rectangle
from flux2.canvas.masks import check_mask, mapped, read_mask, token_weights
from flux2.canvas.window import whole_window
from flux2.errors import RequestError

HALF = rectangle(blank(32, 16), (16, 0, 32, 16))
"""Mask whose right half is repainted."""


def of_alpha(colours: Mask, alpha: Mask) -> Image.Image:
    return Image.merge("RGBA", [Image.fromarray(colours)] * 3 + [Image.fromarray(alpha)])


def palette(mask: Mask) -> Image.Image:
    return Image.fromarray(mask).convert("RGB").quantize(4)


def turned(mask: Mask) -> Image.Image:
    """Mask that lies on its side in the file, as EXIF says."""
    picture = Image.fromarray(np.rot90(mask).copy())
    picture.getexif()[0x0112] = 6
    return picture


PICTURES: dict[str, Callable[[Mask], Image.Image]] = {
    "L": Image.fromarray,
    "1": lambda mask: Image.fromarray(mask).convert("1"),
    "RGB": lambda mask: Image.fromarray(mask).convert("RGB"),
    "P": palette,
    "CMYK": lambda mask: Image.fromarray(mask).convert("RGB").convert("CMYK"),
    "I;16": lambda mask: Image.fromarray(mask.astype(np.uint16) * 257),
    "I": lambda mask: Image.fromarray(mask.astype(np.int32) * 257),
    "I of 8 bits": lambda mask: Image.fromarray(mask.astype(np.int32)),
    "F": lambda mask: Image.fromarray(mask.astype(np.float32) / 255),
    "opaque RGBA": lambda mask: Image.fromarray(mask).convert("RGBA"),
    "LA erased where it is to be repainted": lambda mask: Image.merge(
        "LA", [Image.fromarray(np.full_like(mask, 90)), Image.fromarray(255 - mask)]
    ),
    "RGBA erased": lambda mask: of_alpha(np.full_like(mask, 17), 255 - mask),
    "RGBA painted white on nothing": lambda mask: of_alpha(np.full_like(mask, 255), mask),
    "JPEG's black and white": lambda mask: Image.fromarray(np.clip(mask, 3, 252)),
    "turned": turned,
}


@pytest.mark.parametrize("mode", PICTURES)
def test_every_kind_of_picture_says_the_same(mode: str) -> None:
    expected = HALF if mode != "turned" else np.rot90(np.rot90(HALF), -1)
    assert np.array_equal(read_mask(PICTURES[mode](HALF)), expected)


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16", "I", "F", "RGBA erased", "RGBA painted white on nothing"])
def test_grey_is_kept(mode: str) -> None:
    grey = np.arange(5, 250, dtype=np.uint8)[None]
    assert np.array_equal(read_mask(PICTURES[mode](grey)), grey)


def test_a_mask_of_another_size_is_stretched_to_the_source() -> None:
    assert np.array_equal(mapped(HALF, (32, 16)), HALF)
    assert np.array_equal(mapped(HALF, (16, 32)), rectangle(blank(16, 32), (8, 0, 16, 32)))
    larger = mapped(HALF, (320, 160))
    assert (larger[:, :150] == 0).all() and (larger[:, 170:] == 255).all()


def test_a_thin_line_is_still_there_when_it_is_mapped_to_a_smaller_source() -> None:
    line = blank(4096, 64)
    line[:, 2000] = 255
    assert mapped(line, (512, 64)).max() > 0


@pytest.mark.parametrize(("value", "remedy"), [(0, "paint white"), (255, "paint black")])
def test_a_mask_of_nothing_or_everything_is_refused(value: int, remedy: str) -> None:
    with pytest.raises(RequestError, match=remedy):
        check_mask(blank(64, 64, value))


@pytest.mark.parametrize("nearly", [0, 255])
def test_one_pixel_is_enough(nearly: int) -> None:
    mask = blank(64, 64, nearly)
    mask[5, 5] = 128
    check_mask(mask)


@pytest.mark.parametrize("value", [1, 128, 255])
@pytest.mark.parametrize("place", [(0, 0), (15, 15), (16, 31), (37, 40), (63, 79)])
def test_the_token_of_any_painted_pixel_is_as_free_as_that(place: tuple[int, int], value: int) -> None:
    mask = blank(80, 64)
    mask[place] = value
    weights = token_weights(mask, whole_window((80, 64), (80, 64))).reshape(4, 5)
    assert weights[place[0] // 16, place[1] // 16] == np.float32(value / 255)
    assert np.count_nonzero(weights) == 1


def test_a_mask_in_whole_tokens_frees_these_and_no_others() -> None:
    mask = rectangle(blank(80, 64), (16, 32, 64, 48))
    weights = token_weights(mask, whole_window((80, 64), (80, 64))).reshape(4, 5)
    assert weights.tolist() == [[0] * 5, [0] * 5, [0, 1, 1, 1, 0], [0] * 5]


def test_a_soft_mask_frees_in_part() -> None:
    mask = np.repeat(np.repeat(np.array([[51, 102], [153, 204]], np.uint8), 16, 0), 16, 1)
    weights = token_weights(mask, whole_window((32, 32), (32, 32)))
    assert weights.tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8])


@pytest.mark.parametrize("size", [(4000, 3000), (100, 100), (2048, 64), (70, 333)])
@pytest.mark.parametrize("working", [(64, 64), (512, 384)])
def test_no_painted_pixel_is_lost_at_another_size(size: tuple[int, int], working: tuple[int, int]) -> None:
    window = whole_window(size, working)
    for across, down in ((0, 0), (0.37, 0.61), (0.999, 0.999)):
        mask = blank(*size)
        x, y = int(across * size[0]), int(down * size[1])
        mask[y, x] = 255
        weights = token_weights(mask, window).reshape(working[1] // 16, working[0] // 16)
        row = int((y + 0.5 - window.top) / window.height * len(weights))
        column = int((x + 0.5 - window.left) / window.width * weights.shape[1])
        assert weights[row, column] == 1


def test_beyond_the_canvas_all_is_kept() -> None:
    weights = token_weights(blank(64, 32, 255), whole_window((64, 32), (64, 64))).reshape(4, 4)
    assert weights.tolist() == [[0] * 4, [1] * 4, [1] * 4, [0] * 4]
