"""The comparison sheet: one prompt and seed at every level side by side, with likeness, memory and time under each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from flux2 import humanize
from flux2.bench.comparison import measured_cells
from flux2.bench.document import PROMPT, SEED
from flux2.errors import Flux2Error
from flux2.similarity import compare

COLUMN = 512  # pixels; pictures are shown no wider
_MARGIN, _TEXT, _TITLE = 16, 18, 22
_INK, _PAPER = (20, 20, 24), (250, 250, 248)


@dataclass(frozen=True, slots=True)
class _Column:
    title: str
    lines: tuple[str, ...]
    picture: Image.Image


def draw_sheet(report: dict[str, Any], pictures: Path, path: Path) -> None:
    """Write the sheet of every picture in a report, a row per model; each cell's likeness goes into the report.

    Args:
        pictures: the folder that `BenchPlan.pictures` named.

    Raises:
        Flux2Error: if there is no picture, or the sheet can't be written.
    """
    rows: dict[str, list[_Column]] = {}
    for cell in measured_cells(report):
        picture = _read(pictures, cell)
        if picture is None:
            continue
        whole = _read(pictures, {**cell, "quantization": "bf16", "residency": "resident"})
        rows.setdefault(cell["model"], []).append(_column(cell, picture, whole))
    if not rows:
        raise Flux2Error("There is no picture to show; make some with --part generate.")
    try:
        _draw(rows).save(path)
    except (OSError, ValueError) as error:
        raise Flux2Error(f"{path} can't be written ({error}); name another file ending in .png.") from error


def _read(folder: Path, cell: dict[str, Any]) -> Image.Image | None:
    path = folder / f"{Path(cell['model']).name}-{cell['quantization']}-{cell['residency']}.png"
    return Image.open(path).convert("RGB") if path.exists() else None


def _column(cell: dict[str, Any], picture: Image.Image, whole: Image.Image | None) -> _Column:
    lines = []
    if whole is not None and cell["quantization"] != "bf16":
        like = compare(picture, whole)
        cell["likeness"] = {"psnr": round(like.psnr, 2), "ssim": round(like.ssim, 4)}
        lines.append(f"PSNR {like.psnr:.1f} dB, SSIM {like.ssim:.3f}")
    else:
        lines.append("the reference" if cell["residency"] == "resident" else cell["residency"])
    figures = cell["figures"]
    lines.append(f"transformer {humanize.size(figures['transformer_active'])}")
    lines.append(f"peak {humanize.size(figures['generation_peak'])}")
    lines.append(f"{humanize.seconds(cell['seconds']['generation'])}, {len(cell['step_seconds'][0])} steps")
    title = cell["quantization"] + (", streamed" if cell["residency"] == "streamed" else "")
    return _Column(title, tuple(lines), picture)


def _draw(rows: dict[str, list[_Column]]) -> Image.Image:
    """Rows under each other, each as high as its highest column."""
    titles, body = ImageFont.load_default(_TITLE), ImageFont.load_default(_TEXT)
    shown = {model: [(column, _fitted(column.picture)) for column in columns] for model, columns in rows.items()}
    widths = [[max(small.width, 256) for _, small in columns] for columns in shown.values()]
    heights = [
        max(small.height + len(column.lines) * (_TEXT + 6) for column, small in columns) + _TITLE + 2 * _MARGIN
        for columns in shown.values()
    ]
    width = max(sum(row) + _MARGIN * (len(row) + 1) for row in widths)
    sheet = Image.new("RGB", (width, sum(heights) + _TITLE + 2 * _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN), _shortened(f"“{PROMPT}”, seed {SEED}", width, draw, body), _INK, font=body)
    top = _TITLE + 2 * _MARGIN
    for (model, columns), column_widths, height in zip(shown.items(), widths, heights, strict=True):
        left = _MARGIN
        for (column, small), column_width in zip(columns, column_widths, strict=True):
            draw.text((left, top), f"{Path(model).name} {column.title}", _INK, font=titles)
            sheet.paste(small, (left, top + _TITLE + _MARGIN // 2))
            for number, line in enumerate(column.lines):
                y = top + _TITLE + _MARGIN + small.height + number * (_TEXT + 6)
                draw.text((left, y), line, _INK, font=body)
            left += column_width + _MARGIN
        top += height
    return sheet


def _fitted(picture: Image.Image) -> Image.Image:
    scale = min(1.0, COLUMN / picture.width)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.LANCZOS)


def _shortened(text: str, width: int, draw: ImageDraw.ImageDraw, font: Any) -> str:
    while draw.textlength(text, font=font) > width - 2 * _MARGIN and len(text) > 1:
        text = text[:-2] + "…"
    return text
