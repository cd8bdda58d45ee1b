"""Pictures side by side with captions under each, as one picture: rows under each other, each as high as it needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

COLUMN = 512
"""Pixels; pictures are shown no wider."""
_LEAST_COLUMN = 256
"""Pixels; captions need them."""
_MARGIN, _TEXT, _TITLE, _LINE = 16, 18, 22, 24
_INK, _PAPER = (20, 20, 24), (250, 250, 248)


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    lines: tuple[str, ...]
    """Under the picture."""
    picture: Image.Image


def draw(title: str, rows: Mapping[str, Sequence[Column]]) -> Image.Image:
    """The sheet; a row's name stands before the title of each of its columns."""
    titles, body = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    shown = {name: [(column, _fitted(column.picture)) for column in columns] for name, columns in rows.items()}
    widths = {name: [max(small.width, _LEAST_COLUMN) for _, small in columns] for name, columns in shown.items()}
    heights = {
        name: max(small.height + len(column.lines) * _LINE for column, small in columns) + _TITLE + 2 * _MARGIN
        for name, columns in shown.items()
    }
    width = max(sum(row) + _MARGIN * (len(row) + 1) for row in widths.values())
    sheet = Image.new("RGB", (width, sum(heights.values()) + _TITLE + 2 * _MARGIN), _PAPER)
    canvas = ImageDraw.Draw(sheet)
    canvas.text((_MARGIN, _MARGIN), _shortened(title, width, canvas, body), _INK, font=body)
    top = _TITLE + 2 * _MARGIN
    for name, columns in shown.items():
        left = _MARGIN
        for (column, small), column_width in zip(columns, widths[name], strict=True):
            canvas.text((left, top), f"{name} {column.title}".strip(), _INK, font=titles)
            sheet.paste(small, (left, top + _TITLE + _MARGIN // 2))
            for number, line in enumerate(column.lines):
                y = top + _TITLE + _MARGIN + small.height + number * _LINE
                canvas.text((left, y), line, _INK, font=body)
            left += column_width + _MARGIN
        top += heights[name]
    return sheet


def _fitted(picture: Image.Image) -> Image.Image:
    scale = min(1.0, COLUMN / picture.width)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _shortened(
    text: str, width: int, canvas: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont
) -> str:
    while canvas.textlength(text, font=font) > width - 2 * _MARGIN and len(text) > 1:
        text = text[:-2] + "…"
    return text
