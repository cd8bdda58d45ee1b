"""Small pictures of any file that can be handed in, and what lies in a folder: for the picker and the panes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flux2.architecture.canvas_sizes import canvas_size
from flux2.errors import Flux2Error

if TYPE_CHECKING:
    from PIL import Image

MOST = 2_000
"""Files of a folder that are listed, the newest; the path of another can be typed."""
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".avif", ".mpo"}


@dataclass(frozen=True, slots=True)
class Listing:
    """What can be chosen in a folder."""

    folder: Path
    folders: tuple[Path, ...] = ()
    pictures: tuple[Path, ...] = ()
    """The newest first."""
    left_out: int = 0
    problem: str = ""
    """Why it can't be read, "" where it can."""


def list_folder(folder: Path) -> Listing:
    """The folders and pictures in it; hidden ones are not listed."""
    folders: list[Path] = []
    pictures: list[tuple[float, Path]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                path = Path(entry.path)
                if _is_folder(entry):
                    folders.append(path)
                elif path.suffix.lower() in _SUFFIXES:
                    pictures.append((_changed(entry), path))
    except OSError as error:
        return Listing(folder, problem=f"{folder} can't be read: {error.strerror or error}.")
    newest = [path for _, path in sorted(pictures, key=lambda one: (-one[0], one[1].name))]
    in_order = tuple(sorted(folders, key=lambda path: path.name.lower()))
    return Listing(folder, in_order, tuple(newest[:MOST]), max(0, len(newest) - MOST))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _changed(entry: os.DirEntry[str]) -> float:
    try:
        return entry.stat().st_mtime
    except OSError:
        return 0.0


def first_folder(pictures: Path) -> Path:
    """Where one begins to look: the pictures folder, or the nearest above it that is there."""
    return next((folder for folder in (pictures, *pictures.parents) if folder.is_dir()), Path.home())


def small_picture(path: Path, side: int) -> Image.Image:
    """The picture in RGB as people see it: upright, on white where it is transparent, so many pixels a side at most.

    Raises:
        Flux2Error: in one sentence if it can't be read.
    """
    from flux2.pictures.as_seen import as_seen
    from flux2.pictures.handed_in import FORMATS
    from flux2.pictures.opening import opened_picture

    with opened_picture(path, FORMATS) as image:
        image.draft("RGB", (side, side))
        image.thumbnail((side, side))
        return as_seen(image)


def small_attachment(digest: str, side: int) -> Image.Image:
    """The picture in the store under this digest, as `small_picture` has it.

    Raises:
        Flux2Error: if it is there no more.
    """
    from flux2.inputs.attachment import Attachment
    from flux2.pictures.attachments import is_kept, place_of

    attachment = Attachment(digest=digest)
    if not is_kept(attachment):
        raise Flux2Error("It is no more among the pictures kept.")
    return small_picture(place_of(attachment), side)


def on_canvas(
    image: Image.Image, source: tuple[int, int], margins: tuple[int, ...] | None, size: tuple[int, int]
) -> Image.Image:
    """The source where it lies on the picture that was made of it: grey where that was extended.

    Args:
        image: the source, of any size.
        source: the source's own width and height.
        margins: pixels that were added at top, right, bottom and left.
        size: of the picture.
    """
    from PIL import Image as Pillow

    top, _, _, left = margins or (0, 0, 0, 0)
    across, down = (side / max(1, whole) for side, whole in zip(size, canvas_size(source, margins), strict=True))
    part = max(1, round(source[0] * across)), max(1, round(source[1] * down))
    canvas = Pillow.new("RGB", size, (128, 128, 128))
    canvas.paste(image.resize(part, Pillow.Resampling.LANCZOS), (round(left * across), round(top * down)))
    return canvas
