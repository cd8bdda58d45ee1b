"""What is told of a picture beside it: its settings, what it took, and where it lies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from textual.content import Content

from flux2.folders import pictures_dir
from flux2.humanize import printable, seconds
from flux2.request_fields import lines as told_of
from tui.lines.text import gigabytes, wrapped

_FILE_WIDTH = 28
"""Cells that there are in the narrowest place: a name is broken at its hyphens."""

_NAME_WIDTH = 9
_TOLD_ABOVE = ("prompt", "negative", "model", "seed", "steps", "guidance", "size")
"""What of a request has a place of its own; the rest of what it tells follows."""

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture
    from flux2.pictures.image_metadata import ImageMetadata


def details(picture: Picture, metadata: ImageMetadata | None, *, favourite: bool) -> Content:
    """Line by line, the prompt first; a phase per line where the picture tells of its phases."""
    request = picture.request
    lines: list[Content] = []
    if picture.problem:
        lines += [Content.assemble((printable(picture.problem), "$error")), Content("")]
    if request is not None:
        lines += [Content(printable(request.prompt)), Content("")]
        if request.negative_prompt:
            lines += [_line("Negative", request.negative_prompt), Content("")]
        lines += [
            _line("Model", request.model),
            _line("Quant", request.quantization),
            _line("Seed", str(request.seed)),
            _line("Steps", f"{request.steps}, guidance {request.guidance}"),
            *(_wrapped_line(name, value) for name, value in told_of(request).items() if name not in _TOLD_ABOVE),
        ]
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


def _line(name: str, value: str) -> Content:
    return Content.assemble((f"{name:<{_NAME_WIDTH}}", "$muted"), (printable(value), "$foreground"))


def _wrapped_line(name: str, value: str) -> Content:
    """Its name on a line of its own where both are too long for one."""
    if len(name) < _NAME_WIDTH and len(value) <= _FILE_WIDTH - _NAME_WIDTH:
        return _line(name.capitalize(), value)
    lines = [Content.assemble((name.capitalize(), "$muted"))]
    return Content("\n").join([*lines, *(Content(f" {line}") for line in wrapped(value, _FILE_WIDTH))])


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
