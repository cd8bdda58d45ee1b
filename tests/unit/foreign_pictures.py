"""Small pictures with the texts that other programs write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from flux2.pictures.foreign.found import FoundSettings
from flux2.pictures.foreign.reading import read_settings_of

PICTURE = Image.new("RGB", (8, 8))
EXIF_IFD, USER_COMMENT = 0x8769, 0x9286


def png(path: Path, **texts: str) -> Path:
    """A PNG with these text chunks."""
    chunks = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        chunks.add_itxt(name, text)
    PICTURE.save(path, "PNG", pnginfo=chunks)
    return path


def exif(comment: bytes | None = None, **tags: str) -> Image.Exif:
    """EXIF with a user comment, encoding mark and all, and with other tags such as `t0x110`."""
    made = Image.Exif()
    for name, text in tags.items():
        made[int(name[1:], 16)] = text
    if comment is not None:
        made[EXIF_IFD] = {USER_COMMENT: comment}
    return made


def read(folder: Path, file_name: str = "x.png", **texts: str | dict[str, Any]) -> FoundSettings:
    """What is read out of a PNG with these texts, JSON where an object is given."""
    written = {name: text if isinstance(text, str) else json.dumps(text) for name, text in texts.items()}
    return read_settings_of(png(folder / file_name, **written))


def left_out(found: FoundSettings) -> str:
    """All that was left out, with the reasons, in one text."""
    return " / ".join(map(str, found.left_out))
