"""The canvas of a request: what is kept of a source is kept to the last bit, whatever its size, kind and mask."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from flux2.architecture.canvas_sizes import working_size
from flux2.canvas.canvas import Canvas, open_canvas
from flux2.canvas.mask_drawing import Mask, blank, ellipse, feather, rectangle
from flux2.errors import RequestError
from flux2.inputs.attachment import Attachment
from flux2.pictures.attachments import attach
from flux2.request import GenerationRequest

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return tmp_path


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, channels)).astype(np.uint8)
    return Image.fromarray(pixels)


def attached(folder: Path, image: Image.Image, **options: Any) -> Attachment:
    path = folder / f"{image.mode}-{image.width}x{image.height}.png"
    image.save(path, **options)
    return attach(path)


def request(source: Attachment, **fields: Any) -> GenerationRequest:
    width, height = working_size((source.width, source.height), fields.get("outpaint"), 4096)
    return GenerationRequest(
        **{"prompt": "a fox", "width": width, "height": height, "seed": 3, "source": source} | fields
    )


def opened(source: Attachment, **fields: Any) -> Canvas:
    canvas = open_canvas(request(source, **fields))
    assert canvas
    return canvas


def painted_over(canvas: Canvas) -> np.ndarray:
    """What comes out where the model has painted something else everywhere."""
    return np.asarray(canvas.finished(Image.new("RGB", canvas.window.working, (255, 0, 255))))


MASKS: dict[str, Callable[[int, int], Mask]] = {
    "a small rectangle": lambda w, h: rectangle(blank(w, h), (w // 2, h // 3, w // 2 + 9, h // 3 + 5)),
    "one pixel": lambda w, h: rectangle(blank(w, h), (w - 1, h - 1, w, h)),
    "a line": lambda w, h: rectangle(blank(w, h), (0, h // 2, w, h // 2 + 1)),
    "most of it, softly": lambda w, h: feather(ellipse(blank(w, h), (9, 9, w - 9, h - 9)), 24),
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("size", [(256, 256), (70, 333), (1500, 1100), (65, 64), (2100, 300)])
def test_kept_pixels_are_the_sources_to_the_last_bit(home: Path, size: tuple[int, int], mask: str) -> None:
    source, pixels = noise(*size), MASKS[mask](*size)
    canvas = opened(attached(home, source), mask=attached(home, Image.fromarray(pixels)))
    found = painted_over(canvas)
    kept = pixels <= 4  # a mask's nearly black is black
    assert found.shape == (size[1], size[0], 3)
    assert np.array_equal(found[kept], np.asarray(source)[kept])
    assert (found[pixels == 255] == (255, 0, 255)).all(), "and what is painted is all of it"


@pytest.mark.parametrize("outpaint", [(0, 128, 0, 128), (16, 0, 0, 0), (1, 2, 3, 4), (100, 37, 64, 0)])
def test_an_extended_source_is_kept_but_for_the_ramps(home: Path, outpaint: tuple[int, int, int, int]) -> None:
    source = noise(200, 150)
    canvas = opened(attached(home, source), outpaint=outpaint)
    top, right, bottom, left = outpaint
    found = painted_over(canvas)
    assert found.shape == (150 + top + bottom, 200 + left + right, 3)
    middle = found[top + 32 : top + 118, left + 32 : left + 168]
    assert np.array_equal(middle, np.asarray(source)[32:118, 32:168])
    strips = np.ones(found.shape[:2], bool)
    strips[top : top + 150, left : left + 200] = False
    assert (found[strips] == (255, 0, 255)).all()


def test_outpainting_and_a_mask_go_together(home: Path) -> None:
    pixels = rectangle(blank(200, 150), (100, 70, 120, 90))
    canvas = opened(
        attached(home, noise(200, 150)), mask=attached(home, Image.fromarray(pixels)), outpaint=(0, 0, 0, 64)
    )
    found = painted_over(canvas)
    assert (found[70:90, 164:184] == (255, 0, 255)).all() and (found[:, :64] == (255, 0, 255)).all()


def turned() -> dict[str, Any]:
    exif = Image.Exif()
    exif[0x0112] = 6
    return {"exif": exif}


def test_a_photograph_on_its_side_is_upright_and_so_is_its_mask(home: Path) -> None:
    source = noise(100, 80)
    attachment = attached(home, source, **turned())
    assert (attachment.width, attachment.height) == (80, 100)
    pixels = rectangle(blank(80, 100), (10, 20, 30, 40))
    found = painted_over(opened(attachment, mask=attached(home, Image.fromarray(pixels))))
    upright = np.asarray(source.transpose(Image.Transpose.ROTATE_270))
    assert np.array_equal(found[pixels == 0], upright[pixels == 0])


def test_colours_keep_their_meaning(home: Path) -> None:
    mask = attached(home, Image.fromarray(rectangle(blank(96, 96), (40, 40, 50, 50))))
    source = attached(home, noise(96, 96), icc_profile=SRGB)
    finished = opened(source, mask=mask).finished(Image.new("RGB", (96, 96)))
    finished.save(home / "found.png")
    with Image.open(home / "found.png") as image:
        assert image.info["icc_profile"] == SRGB


def test_what_is_transparent_or_deeper_is_said(home: Path) -> None:
    deep = Image.fromarray(np.arange(96 * 96, dtype=np.uint16).reshape(96, 96) * 7)
    mask = attached(home, Image.fromarray(rectangle(blank(96, 96), (40, 40, 50, 50))))
    assert "16" not in str(opened(attached(home, noise(96, 96)), mask=mask).remarks)
    canvas = opened(attached(home, deep), mask=mask)
    assert canvas.remarks == ["The source has more than 8 bits per channel; the picture has 8."]
    assert canvas.pixels[95, 95, 0] == round(95 * 97 * 7 / 257)
    canvas = opened(attached(home, noise(96, 96, 4)), mask=mask)
    assert canvas.remarks == ["What is transparent in the source is white in the picture."]


def test_a_mask_of_another_shape_is_stretched_and_that_is_said(home: Path) -> None:
    source, pixels = attached(home, noise(128, 64)), rectangle(blank(32, 32), (0, 0, 16, 32))
    canvas = opened(source, mask=attached(home, Image.fromarray(pixels)))
    assert canvas.mask is not None and (canvas.mask[:, :60] == 255).all() and not canvas.mask[:, 68:].any()
    assert "32×32 pixels are stretched to the source's 128×64" in canvas.remarks[0]


@pytest.mark.parametrize("value", [0, 3, 252, 255])
def test_a_mask_of_nothing_or_everything_is_refused(home: Path, value: int) -> None:
    mask = attached(home, Image.new("L", (64, 64), value))
    with pytest.raises(RequestError, match="all over"):
        opened(attached(home, noise(64, 64)), mask=mask)


def test_without_a_mask_all_of_the_source_comes_out_at_its_size(home: Path) -> None:
    canvas = opened(attached(home, noise(70, 333)), strength=0.5)
    assert canvas.window.working == (80, 336) and canvas.mask is None
    painted = noise(80, 336)
    assert np.array_equal(canvas.finished(painted), np.asarray(painted)[:333, :70])
    assert canvas.remarks == []


def test_a_large_source_comes_out_smaller_without_a_mask_and_that_is_said(home: Path) -> None:
    canvas = opened(attached(home, noise(1500, 1100)), strength=0.5)
    assert canvas.window.working == (1184, 864)
    finished = canvas.finished(Image.new("RGB", canvas.window.working))
    assert finished.size == (1184, 864)
    assert canvas.remarks == [
        "The source has 1500×1100 pixels; the picture is made as 1184×864, of the middle 1500×1095 of them."
    ]


def test_of_another_shape_the_middle_is_used_and_that_is_said(home: Path) -> None:
    canvas = opened(attached(home, noise(200, 100)), strength=0.5, width=128, height=128)
    assert canvas.finished(Image.new("RGB", (128, 128))).size == (128, 128)
    assert "of the middle 100×100" in canvas.remarks[0]


def test_the_same_pixels_are_encoded_once_and_others_anew(home: Path) -> None:
    source = attached(home, noise(96, 96))
    canvases = [opened(source, strength=0.5), opened(source, strength=0.7), opened(source, outpaint=(0, 0, 32, 0))]
    keys = [canvas.encodable.key for canvas in canvases]
    assert keys[0] == keys[1] != keys[2]
    assert canvases[2].encodable.grid == (8, 6)
    assert canvases[2].encodable.pixels().shape == (128, 96, 3)


def test_without_a_source_there_is_no_canvas() -> None:
    assert open_canvas(GenerationRequest(prompt="a fox", width=64, height=64, seed=1)) is None
