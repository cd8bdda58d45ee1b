"""Pictures on disk: PNGs that say how they were made, written whole or not at all, never over another file."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import tempfile
import time
import unicodedata
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from PIL import Image

from flux2 import events as ev
from flux2.architecture.catalog import label
from flux2.disk.atomic import write_new
from flux2.errors import Flux2Error, PictureNotSavedError, RequestError
from flux2.paths import expand, state_dir
from flux2.pictures.image_metadata import CHUNK, ImageMetadata, text_chunks
from flux2.pictures.opening import opened_picture
from flux2.request import GenerationRequest

MAX_SLUG = 60  # characters of the prompt in a file's name
MAX_PIXELS = 2 * 4096**2  # decoded for the screen; twice the largest that a request can ask for
OTHER_FORMATS = {".avif", ".bmp", ".gif", ".heic", ".jpeg", ".jpg", ".tif", ".tiff", ".webp"}


def default_path(folder: Path, request: GenerationRequest, seed: int, pattern: str = "{prompt}-{seed}") -> Path:
    """A name for a picture in `folder`, usually from its prompt and seed: `a-red-fox-in-the-snow-42.png`.

    `pattern` is made of `flux2.settings.NAME_FIELDS`; a / in it makes folders.
    """
    plain = unicodedata.normalize("NFKD", request.prompt[: 10 * MAX_SLUG]).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(slug) > MAX_SLUG:
        slug = slug[: MAX_SLUG + 1].rpartition("-")[0] or slug[:MAX_SLUG]
    values = {
        "prompt": slug or "image",
        "seed": seed,
        # Of a folder anything can be the name: ".." in a pattern's folder, or what a terminal obeys.
        "model": re.sub(r"[^\w.-]+", "-", label(request.model)[:MAX_SLUG]).strip(".-") or "model",
        "date": time.strftime("%Y-%m-%d"),
        "time": time.strftime("%H%M%S"),
        **{name: getattr(request, name) for name in ("quantization", "width", "height", "steps")},
    }
    name = re.sub(r"\{(\w+)\}", lambda found: str(values.get(found[1], found[0])), pattern)
    return folder / f"{name}.png"


def output_path(
    chosen: str | None, folder: Path, request: GenerationRequest, seed: int, pattern: str = "{prompt}-{seed}"
) -> Path:
    """Where the picture goes: what the user chose (a file, or a folder to name it in), else a default in `folder`.

    Raises:
        RequestError: if the name chosen is that of another image format.
        Flux2Error: if the system can't even look for it.
    """
    if not chosen:
        return default_path(folder, request, seed, pattern)
    path = expand(chosen)
    with _told(path):
        if chosen.endswith(("/", os.sep)) or path.is_dir():
            return default_path(path, request, seed, pattern)
    if path.suffix.lower() in OTHER_FORMATS:
        raise RequestError(f"Pictures are saved as PNG, not {path.suffix}; call it {path.with_suffix('.png')}.")
    return path if path.suffix.lower() == ".png" else path.with_name(path.name + ".png")


def check_writable(path: Path) -> None:
    """Make the folder of `path` and try to write there, so that a long run does not end in a refusal.

    Raises:
        Flux2Error: if nothing can be written there.
    """
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        trial = path.with_name(f".{path.stem[:40]}.{secrets.token_hex(4)}.part")
        os.close(os.open(trial, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        trial.unlink()


def save_png(image: Image.Image, path: Path, metadata: ImageMetadata | None) -> Path:
    """Write the picture under `path`, or under the next free name (`fox-2.png`) where that is taken.

    The file appears under its name complete and flushed to the disk, or not at all.

    Returns:
        the path it has got.

    Raises:
        PictureNotSavedError: with the picture, if it can't be written (disk full, folder read-only); nothing is left
            behind then.
    """
    file = io.BytesIO()
    image.save(file, format="PNG", pnginfo=text_chunks(metadata) if metadata else None)
    return save_file(file.getvalue(), path)


def save_again(run: str, png: bytes, request: GenerationRequest, chosen: str) -> ev.RunFinished:
    """Save a picture that could not be saved before; `chosen` is a file, or a folder to name it in.

    Raises:
        RequestError: if the name chosen is that of another image format.
        PictureNotSavedError: if it can't be written there either.
    """
    with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
        made = ImageMetadata.from_json(str(image.info.get(CHUNK)))
    path = save_file(png, output_path(chosen, Path(chosen).parent, request, request.seed or 0))
    return ev.RunFinished(
        run=run,
        path=str(path),
        seed=request.seed or 0,
        seconds=sum(made.timings.values()),
        peaks=made.peaks,
        timings=made.timings,
    )


def rescue(error: PictureNotSavedError) -> Flux2Error:
    """Error that names the picture's new place, after it was saved where it can be: nothing else would keep it."""
    for kind in ("state", "temporary"):
        with contextlib.suppress(Flux2Error, OSError):  # a full disk has no folder for temporary files either
            folder = state_dir() / "unsaved" if kind == "state" else Path(tempfile.gettempdir())
            return Flux2Error(f"{error} It was saved as {save_file(error.png, folder / error.path.name)}.")
    return error


def save_file(png: bytes, path: Path) -> Path:
    """Save a picture that is a PNG already, by `save_png`'s rules."""
    try:
        return _save_file(png, path)
    except Flux2Error as error:
        raise PictureNotSavedError(str(error), png, path) from error


def _save_file(png: bytes, path: Path) -> Path:
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_new(_names(path), png)


def read_metadata(path: Path) -> ImageMetadata:
    """How the picture at `path` was made. The pixels are not decoded.

    Raises:
        Flux2Error: if it is no PNG, or none of ours.
    """
    _, text = read_header(path)
    if text is None:
        raise Flux2Error(f"{path} carries no settings of flux2; only pictures made by flux2 do.")
    try:
        return ImageMetadata.from_json(text)
    except ValueError as error:
        raise Flux2Error(f"The settings in {path} are damaged: {error}") from error


def read_header(path: Path) -> tuple[tuple[int, int], str | None]:
    """Width and height in pixels, and the JSON of a picture of ours (None of another's). The pixels are not decoded.

    Text that unpacks to more than a MiB per chunk or 64 MiB in all, and pictures of more than 179 megapixels, are
    refused (Pillow's limits), so that a file from anywhere can be asked.

    Raises:
        Flux2Error: if it is no PNG, or a dangerous one.
    """
    with opened_picture(path) as image:
        text = image.info.get(CHUNK)
        return image.size, text if isinstance(text, str) else None


def read_pixels(path: Path) -> Image.Image:
    """The picture at `path` in RGB.

    Raises:
        Flux2Error: if it is no PNG, damaged, or larger than `MAX_PIXELS`.
    """
    with opened_picture(path) as image:
        width, height = image.size
        if width * height > MAX_PIXELS:
            raise Flux2Error(
                f"{path} has {width}×{height} pixels, more than are shown ({MAX_PIXELS >> 20} Mi); open it elsewhere."
            )
        return image.convert("RGB")


def _names(path: Path) -> Iterator[Path]:
    """fox.png, fox-2.png, fox-3.png, …"""
    yield path
    for number in count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


_REMEDIES = {
    errno.ENOSPC: "the disk is full; make room or choose another folder",
    errno.EDQUOT: "your quota is used up; make room or choose another folder",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.EACCES: "you may not write there; choose another folder",
    errno.EPERM: "you may not write there; choose another folder",
    errno.ENOTDIR: "a part of that path is a file; choose another folder",
    errno.EEXIST: "a part of that path is a file; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """The system's refusals as one sentence."""
    try:
        yield
    except OSError as error:
        remedy = _REMEDIES.get(error.errno or 0, f"{error.strerror or error}; choose another folder")
        raise Flux2Error(f"The picture can't be saved as {path}: {remedy}.") from error
