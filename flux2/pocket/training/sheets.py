"""Sheets of sample pictures with their prompts, to be looked at."""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

MARGIN = 30


def as_pictures(images: Tensor) -> list[Image.Image]:
    """[n, 3, H, W] in -1..1."""
    pixels = ((images.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in pixels]


def save_sheet(pictures: list[Image.Image], prompts: list[str], columns: int, path: Path, quality: int = 85) -> None:
    width, height = pictures[0].size
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * width, rows * (height + MARGIN)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (picture, prompt) in enumerate(zip(pictures, prompts, strict=True)):
        left, top = number % columns * width, number // columns * (height + MARGIN)
        sheet.paste(picture, (left, top))
        pen.multiline_text(
            (left + 3, top + height), _wrapped(prompt, font, width - 6), fill="black", font=font, spacing=1
        )
    sheet.save(path, quality=quality)


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return "\n".join(lines[:2])
