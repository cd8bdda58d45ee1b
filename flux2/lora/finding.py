"""The way from what a user calls a LoRA — a file, a name in their folder for LoRAs, a Hub repository — to its file."""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from flux2.checkpoint.manifest import storage
from flux2.errors import LoraError, RequestError
from flux2.events import DownloadProgress
from flux2.folders import list_loras, lora_name, lora_named, loras_dir
from flux2.inputs.loras import ENDING, Lora, is_hub_name
from flux2.paths import expand
from flux2.store.local import exists

BESIDE = ("{stem}.json", "{stem}.toml", "adapter_config.json")
"""Files beside a LoRA's that say how it is meant, by its name without ending."""
_KEPT = 256
_PIECE = 1 << 22


def find_lora(
    lora: Lora,
    say: Callable[[str], None] = lambda _: None,
    on_progress: Callable[[DownloadProgress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Path:
    """The file of a LoRA, downloaded first where it is on the Hub only.

    Args:
        say: told in a sentence what takes long.
        on_progress: told how far a download is.
        should_stop: ends a download when it becomes true.

    Raises:
        RequestError: if there is no such file, or another one than that with the LoRA's digest.
        CheckpointError: if it can't be downloaded.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    path = find_local_lora(lora.name)
    if path is None and is_hub_name(lora.name):
        path = _download(lora.name, say, on_progress, should_stop)
    if path is None:
        raise RequestError(_why_none(lora.name))
    if lora.digest and lora_digest(path) != lora.digest:
        raise RequestError(
            f"{path} is another file than the LoRA that was asked for, whose SHA-256 begins with {lora.digest[:10]}; "
            "choose it anew to use it as it is now."
        )
    return path


def with_digest(lora: Lora, path: Path) -> Lora:
    """The LoRA with the digest of its file."""
    return lora if lora.digest else replace(lora, digest=lora_digest(path))


def find_local_lora(name: str) -> Path | None:
    """The file of this name: a path, a folder's only one, one in the folder for LoRAs, or a repository's."""
    path = expand(name)
    if exists(path) and path.is_file():
        return path.absolute()
    if exists(path) and name:  # a folder, as diffusers and peft save one
        inside = sorted(path.glob(f"*{ENDING}"))
        if len(inside) == 1:
            return inside[0].absolute()
    if not Path(name).is_absolute() and (file := lora_named(name)):
        return file
    return _in_cache(name) if is_hub_name(name) else None


def lora_digest(path: Path) -> str:
    """SHA-256 of a file, by which other programs know it, too.

    Raises:
        LoraError: if it can't be read.
    """
    try:
        found = path.stat()
        return _digest(path, found.st_size, found.st_mtime_ns)
    except OSError as error:
        raise LoraError(f"{path} can't be read ({error.strerror or error}); check the disk and the path.") from error


@lru_cache(maxsize=_KEPT)
def _digest(path: Path, _size: int, _changed: int) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            hasher.update(piece)
    return hasher.hexdigest()


def _in_cache(name: str) -> Path | None:
    """The file of a Hub repository, where the cache has it."""
    repo, _, wanted = name.partition(":")
    cache = storage(repo)
    try:
        main = (cache / "refs" / "main").read_text().strip()
        snapshot = cache / "snapshots" / main
        files = sorted(path for path in snapshot.rglob(f"*{ENDING}") if path.is_file())
    except (OSError, ValueError):
        return None
    if not wanted:
        return files[0] if len(files) == 1 else None
    return next((file for file in files if wanted in _names(file.relative_to(snapshot))), None)


def _names(path: Path) -> tuple[str, ...]:
    """What a file of a repository may be called."""
    return path.as_posix(), path.as_posix().removesuffix(ENDING), path.name, path.stem


def _download(
    name: str,
    say: Callable[[str], None],
    on_progress: Callable[[DownloadProgress], None],
    should_stop: Callable[[], bool],
) -> Path | None:
    from flux2.store.download import download

    repo, _, wanted = name.partition(":")
    stem = wanted.removesuffix(ENDING)
    say(f"Downloading the LoRA {name} from the Hugging Face Hub.")
    weights = (f"{stem}{ENDING}", f"*/{stem}{ENDING}") if stem else (f"*{ENDING}",)
    beside = (pattern.format(stem=stem or "*") for pattern in BESIDE)
    download(repo, on_progress, should_stop, model=name, patterns=(*weights, *beside))
    return _in_cache(name)


def _why_none(name: str) -> str:
    folder, names = loras_dir(), [lora_name(file) for file in list_loras()]
    if close := difflib.get_close_matches(name.removesuffix(ENDING), names, n=1):
        return f"There is no LoRA {name!r}; did you mean {close[0]}?"
    others = f": there are {', '.join(names[:8])}" if names else ""
    return f"There is no LoRA {name!r}; name a file, a Hub repository, or one in {folder}{others}."
