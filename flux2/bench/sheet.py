"""The comparison sheet: one prompt and seed at every level side by side, with likeness, memory and time under each."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from PIL import Image

from flux2 import humanize
from flux2.bench.comparison import measured_cells
from flux2.bench.document import PROMPT, SEED
from flux2.errors import Flux2Error
from flux2.pictures import sheet
from flux2.pictures.similarity import compare


def draw_sheet(report: dict[str, Any], pictures: Path, path: Path) -> None:
    """Write the sheet of every picture in a report, a row per model; each cell's likeness goes into the report.

    Args:
        pictures: the folder that `BenchPlan.pictures` named.

    Raises:
        Flux2Error: if there is no picture, or the sheet can't be written.
    """
    rows: dict[str, list[sheet.Column]] = {}
    for cell in measured_cells(report):
        picture = _read(pictures, cell)
        if picture is None:
            continue
        whole = _read(pictures, {**cell, "quantization": "bf16", "residency": "resident"})
        rows.setdefault(cell["model"], []).append(_column(cell, picture, whole))
    if not rows:
        raise Flux2Error("There is no picture to show; make some with --part generate.")
    try:
        sheet.draw(f"“{PROMPT}”, seed {SEED}", rows).save(path)
    except (OSError, ValueError) as error:
        raise Flux2Error(f"{path} can't be written ({error}); name another file ending in .png.") from error


def _read(folder: Path, cell: dict[str, Any]) -> Image.Image | None:
    path = folder / f"{Path(cell['model']).name}-{cell['quantization']}-{cell['residency']}.png"
    return Image.open(path).convert("RGB") if path.exists() else None


def _column(cell: dict[str, Any], picture: Image.Image, whole: Image.Image | None) -> sheet.Column:
    lines = []
    if whole is not None and cell["quantization"] != "bf16":
        like = compare(picture, whole)
        cell["likeness"] = {
            name: round(value, digits) if math.isfinite(value) else None
            for name, value, digits in (("psnr", like.psnr, 2), ("ssim", like.ssim, 4), ("texture", like.texture, 3))
        }
        psnr, ssim, texture = like.lines()
        lines += [f"{psnr}, {ssim}", texture]
    else:
        lines.append("the reference" if cell["residency"] == "resident" else cell["residency"])
    figures = cell["figures"]
    if "transformer_active" in figures:
        lines.append(f"transformer {humanize.size(figures['transformer_active'])}")
    lines.append(f"peak {humanize.size(figures['generation_peak'])}")
    lines.append(f"{humanize.seconds(cell['seconds']['generation'])}, {len(cell['step_seconds'][0])} steps")
    title = cell["quantization"] + (", streamed" if cell["residency"] == "streamed" else "")
    return sheet.Column(title, tuple(lines), picture)
