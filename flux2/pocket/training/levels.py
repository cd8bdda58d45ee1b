"""How far pocket's pictures at each level are from bf16's: `python -m flux2.pocket.training.levels`.

    python -m flux2.pocket.training.levels --prompts 16
    python -m flux2.pocket.training.levels --sheet levels.jpg

Captions that it was not trained with, one seed each, 256×256, 4 steps, in float32, so that the weights' rounding is all
that differs. Near 28 dB pictures differ in what they show, and means of 16 within 1 dB of each other are the same; the
final latents, relative to bf16's, tell more.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from flux2.architecture.transformer import transformer_shapes
from flux2.inputs.checks import QUANTIZATIONS as LEVELS
from flux2.pictures.sheet import Column
from flux2.pictures.sheet import draw as draw_columns
from flux2.pictures.similarity import compare
from flux2.pipeline import Flux2Pipeline
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.store.configs import find_networks

from .captions import plain_caption
from .scenes import held_out_scenes

PROMPT = "A fluffy orange tabby cat sitting on a windowsill at sunset"
_TITLES = ("level", "PSNR, dB (least)", "SSIM", "texture", "latents")

Drawn = tuple[Image.Image, npt.NDArray[np.float32]]
"""A picture, and the latents that it was decoded from."""


def draw(level: str, prompts: list[str]) -> list[Drawn]:
    """A picture of each prompt, with its place as the seed."""
    pipeline = Flux2Pipeline.from_pretrained("pocket", dtype="float32", quantization=level)
    drawn = []
    for seed, prompt in enumerate(prompts):
        steps: list[Any] = []
        made = pipeline(prompt, seed=seed, callback_on_step_end=lambda *call, steps=steps: steps.append(call[-1]))
        drawn.append((made.images[0], np.array(steps[-1]["latents"])))
    return drawn


def row(level: str, drawn: list[Drawn], references: list[Drawn]) -> tuple[str, ...]:
    """Means over all pictures: PSNR with its least, SSIM, texture, and the latents' relative distance."""
    alike = [compare(picture, other) for (picture, _), (other, _) in zip(drawn, references, strict=True)]
    far = [
        np.linalg.norm(ours - other) / np.linalg.norm(other)
        for (_, ours), (_, other) in zip(drawn, references, strict=True)
    ]
    decibels = [each.psnr for each in alike]
    return (
        level,
        f"{np.mean(decibels):.1f} ({min(decibels):.1f})",
        f"{np.mean([each.ssim for each in alike]):.3f}",
        f"{np.mean([each.texture for each in alike]):.2f}",
        f"{np.mean(far):.3f}",
    )


def draw_sheet(path: Path) -> None:
    """The benchmark document's prompt at every level, with likeness and bits per weight under each picture."""
    pictures = {level: draw(level, [PROMPT])[0][0] for level in LEVELS}
    reference, *_ = pictures.values()
    columns = [
        Column(level, (f"{_bits_per_weight(level):.2f} bits per weight", *_told(picture, reference)), picture)
        for level, picture in pictures.items()
    ]
    half = len(columns) // 2
    draw_columns(f"pocket: “{PROMPT}”", {"": columns[:half], " ": columns[half:]}).save(path, quality=90)


def _told(picture: Image.Image, reference: Image.Image) -> tuple[str, ...]:
    if picture is reference:
        return ("the reference",)
    psnr, ssim, texture = compare(picture, reference).lines()
    return f"{psnr}, {ssim}", texture


def _bits_per_weight(level: str) -> float:
    shapes = transformer_shapes(find_networks("pocket").transformer).values()
    numbers = sum(math.prod(shape) for shape in shapes)
    return 8 * plan(find_networks("pocket"), RunFacts(quantization=level)).weights / numbers


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m flux2.pocket.training.levels", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--prompts", type=int, default=16, metavar="N", help="how many captions (default: 16)")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="draw a picture at every level instead")
    chosen = parser.parse_args(arguments)
    if chosen.sheet:
        draw_sheet(chosen.sheet)
        return 0
    prompts = [plain_caption(scene) for scene in held_out_scenes(chosen.prompts)]
    reference, *others = LEVELS
    references = draw(reference, prompts)
    for cells in (_TITLES, *(row(level, draw(level, prompts), references) for level in others)):
        print("".join(cell.ljust(18) for cell in cells).rstrip(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
