"""What is told of a picture beside it: its settings, what it took, and where it lies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from flux2 import request_fields
from flux2.folders import pictures_dir
from flux2.humanize import gigabytes, printable, seconds
from tui.lines.text import wrapped

_FILE_WIDTH = 28
"""Cells that there are in the narrowest place: a name is broken at its hyphens."""

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture
    from flux2.pictures.image_metadata import ImageMetadata
    from flux2.request import GenerationRequest


def details(picture: Picture, metadata: ImageMetadata | None, *, favourite: bool) -> Content:
    """Line by line, the prompt first; a phase per line where the picture tells of its phases."""
    request = picture.request
    lines: list[Content] = []
    if picture.problem:
        lines += [Content.assemble((printable(picture.problem), "$error")), Content("")]
    if request is not None:
        lines += _settings(request)
    elif not picture.problem:
        lines += [Content.assemble(("It carries no settings of flux2.", "$muted")), Content("")]
    if picture.width:
        lines.append(_line("Size", f"{picture.width}×{picture.height}"))
    lines.append(_line("Made", time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(picture.created))))
    lines.append(Content.assemble(("File", "$muted")))
    lines += [Content(f" {line}") for line in wrapped(_where(picture.path), _FILE_WIDTH)]
    if favourite:
        lines.append(Content.assemble(("★ favourite", "$warning")))
    if metadata is not None and metadata.timings:
        lines += ["", *_phases(metadata)]  # type: ignore[list-item]
    return Content("\n").join(lines)


def _settings(request: GenerationRequest) -> list[Content]:
    """The words, then whatever else the request says; its size is the picture's own, which is told with the file."""
    told = request_fields.lines(request)
    words = [Content(printable(told.pop("prompt"))), Content("")]
    if negative := told.pop("negative", ""):
        words += [_line("negative", negative), Content("")]
    return words + [_line(name, value) for name, value in told.items() if name != "size"]


def _line(name: str, value: str) -> Content:
    return Content.assemble((f"{name.capitalize()} ".ljust(9), "$muted"), (printable(value), "$foreground"))


def _where(path: Path) -> str:
    """Below the pictures folder, or anywhere."""
    folder = pictures_dir()
    return str(path.relative_to(folder) if path.is_relative_to(folder) else path)


def _phases(metadata: ImageMetadata) -> list[Content]:
    """`denoise  12.3 s   7.22   9.13`"""
    lines = [Content.assemble((f"{'phase':<8}{'time':>7}{'active':>7}{'peak':>7}", "$muted"))]
    for phase, took in metadata.timings.items():
        active, peak = metadata.active.get(phase), metadata.peaks.get(phase)
        figures = "".join(f"{gigabytes(count) if count is not None else '':>7}" for count in (active, peak))
        lines.append(Content.assemble((f"{printable(phase):<8.8}", "$muted"), f"{seconds(took):>7}{figures}"))
    return [*lines, Content.assemble(("active and peak in GB", "$muted"))]
