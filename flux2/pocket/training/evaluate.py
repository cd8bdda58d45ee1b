"""Score pictures of captions that were never trained on: `python -m flux2.pocket.training.evaluate --help`.

The captions name a subject, a colour, a place and a time of day; the judge says what it sees. Pictures are drawn with
this project's own engine at every quantization, or with diffusers for comparison.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from flux2.inputs.checks import QUANTIZATIONS

from .captions import plain_caption
from .judge import Judge
from .latents import Noise, seeded_noise
from .rendering import LABELS, labels_of
from .scenes import held_out_scenes

CHECKPOINT = Path(__file__).parents[1] / "checkpoint"
REPORT = Path(__file__).with_name("scores.json")
COUNT = 240
STEPS = 4
SIZE = 256
Painter = Callable[[str, Noise], Image.Image]
"""A prompt and noise [1, 128, 16, 16] to a picture."""


def our_painter(checkpoint: Path, quantization: str, steps: int) -> Painter:
    from flux2 import Flux2Pipeline

    pipeline = Flux2Pipeline.from_pretrained(str(checkpoint), quantization=quantization)

    def paint(prompt: str, noise: Noise) -> Image.Image:
        picture: Image.Image = pipeline(
            prompt, width=SIZE, height=SIZE, num_inference_steps=steps, guidance_scale=1.0, latents=noise
        ).images[0]
        return picture

    return paint


def diffusers_painter(checkpoint: Path, steps: int, max_tokens: int = 512) -> Painter:
    from diffusers import Flux2KleinPipeline

    pipeline = Flux2KleinPipeline.from_pretrained(checkpoint, dtype=torch.bfloat16)
    pipeline.set_progress_bar_config(disable=True)

    def paint(prompt: str, noise: Noise) -> Image.Image:
        picture: Image.Image = pipeline(
            prompt=prompt,
            width=SIZE,
            height=SIZE,
            num_inference_steps=steps,
            guidance_scale=1.0,
            latents=torch.from_numpy(noise).bfloat16(),
            max_sequence_length=max_tokens,
        ).images[0]
        return picture

    return paint


def as_tensor(picture: Image.Image) -> torch.Tensor:
    """[1, 3, H, W] in -1..1."""
    return torch.from_numpy(np.asarray(picture.convert("RGB"), np.float32)).permute(2, 0, 1)[None] / 127.5 - 1


def score(paint: Painter, judge: Judge, count: int) -> tuple[dict[str, float], list[str]]:
    """The share of pictures in which the judge sees the attribute asked for, and the mistakes in words."""
    right, mistakes = [], []
    for number, scene in enumerate(held_out_scenes(count)):
        prompt = plain_caption(scene)
        seen = judge.answers(as_tensor(paint(prompt, seeded_noise(number, SIZE, SIZE)[None])))[0].tolist()
        wanted = labels_of(scene)
        right.append([a == b for a, b in zip(seen, wanted, strict=True)])
        for (name, words), a, b in zip(LABELS.items(), seen, wanted, strict=True):
            if a != b:
                mistakes.append(f"{prompt}: {name} {words[a]}")
    shares = np.mean(right, axis=0)
    return {name: round(float(share), 4) for name, share in zip(LABELS, shares, strict=True)}, mistakes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m flux2.pocket.training.evaluate", description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--engine", choices=("flux2", "diffusers"), default="flux2")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="bf16")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--count", type=int, default=COUNT, help="how many held-out captions")
    parser.add_argument("--save", action="store_true", help=f"write the scores into {REPORT.name}")
    chosen = parser.parse_args(arguments)

    if chosen.engine == "flux2":
        paint = our_painter(chosen.checkpoint, chosen.quantization, chosen.steps)
    else:
        paint = diffusers_painter(chosen.checkpoint, chosen.steps)
    scores, mistakes = score(paint, Judge.load(), chosen.count)
    print(*mistakes, sep="\n")
    print(json.dumps(scores))
    if chosen.save:
        report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
        report[f"{chosen.engine} {chosen.quantization}, {chosen.steps} steps"] = scores | {"captions": chosen.count}
        REPORT.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
