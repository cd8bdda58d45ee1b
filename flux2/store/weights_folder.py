"""The folder in which single files of weights lie: which of them hold a transformer of FLUX.2, and of which model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

from flux2.checkpoint.model_files import ENDINGS
from flux2.checkpoint.single_file import look_into
from flux2.errors import Flux2Error, RequestError
from flux2.folders import weights_dir
from flux2.store.assembling import transformer_of
from flux2.store.base_model import bases_of, choose_base

_MOST = 1000
"""Files that are looked into: ComfyUI's folders hold hundreds."""
_KEPT = 4096


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """A single file with a transformer."""

    path: Path
    size: int
    """Bytes."""
    bases: tuple[str, ...]
    """Names of the catalog's models that it may be of; empty where none has its size."""
    base: str
    """The one that it is taken for; "" where that has to be said."""


def list_weights() -> tuple[WeightsFile, ...]:
    """All files with a transformer of FLUX.2 in the folder and below, by their paths; others are passed over."""
    return tuple(found for path, size, changed in _files(weights_dir()) if (found := _look(path, size, changed)))


def bases_to_choose(path: Path) -> tuple[str, ...]:
    """The models that a file may be of, where neither its shapes nor its name tell which; empty where they do.

    Raises:
        CheckpointError: if it can't be read, or holds something else.
    """
    contents = transformer_of(path)
    try:
        choose_base(contents)
    except RequestError:
        return bases_of(contents)
    return ()


def base_of(path: Path) -> str:
    """Name of the model that a file is of.

    Raises:
        RequestError: if that has to be said.
        CheckpointError: if it can't be read, or holds something else.
    """
    return choose_base(transformer_of(path))[0]


def _files(folder: Path) -> Iterator[tuple[Path, int, int]]:
    """Files that may hold weights, with size and time of change."""
    try:
        paths = sorted(islice((path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS), _MOST))
    except OSError:
        return
    for path in paths:
        try:
            stat = path.stat()
        except OSError:  # a link to nothing
            continue
        yield path, stat.st_size, stat.st_mtime_ns


@lru_cache(maxsize=_KEPT)
def _look(path: Path, size: int, _changed: int) -> WeightsFile | None:
    try:
        contents = look_into(path)
        if contents.part != "transformer":
            return None
        bases = bases_of(contents)
        return WeightsFile(path, size, bases, _taken_for(path) if bases else "")
    except Flux2Error:
        return None


def _taken_for(path: Path) -> str:
    try:
        return base_of(path)
    except RequestError:
        return ""
