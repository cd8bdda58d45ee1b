"""The known models and how much of each is on this disk, told without a network; and deleting one."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from flux2.architecture.catalog import MODELS, ModelCard, find_card, is_repo_id
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.shapes import count
from flux2.checkpoint.files import NEEDED_FILES, read_index
from flux2.checkpoint.manifest import Manifest, forget, locks, storage
from flux2.errors import CheckpointError, RequestError
from flux2.folders import models_dir
from flux2.inputs.checks import QUANTIZATIONS
from flux2.paths import quantized_folder
from flux2.store.configs import prepared_levels
from flux2.store.local import default_model, find_local, lacking
from flux2.store.weights_folder import WeightsFile, list_weights

_BYTES_PER_WEIGHT = 2  # in the published files: bfloat16
_LOCK_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEntry:
    """One line of the list of models."""

    name: str
    title: str
    parameters: int
    """Parameters of the transformer."""
    licence: str
    gated: bool
    repo: str
    """Hub repository; "" for the embedded one."""
    state: str
    """"embedded", "ready", "partly" or "absent"; "file" for a single file of weights."""
    here: int
    """Bytes on this disk."""
    size: int
    """Bytes of all files that a run needs; estimated from the architecture where nothing of them was seen yet."""
    folder: str
    """Where it lies, "" where nothing has a name yet."""
    prepared: tuple[str, ...]
    """Levels that `flux2 quantize` was run for."""
    default: bool
    """Whether it is used where no model is named."""
    bases: tuple[str, ...] = ()
    """Names of the models that a single file may be of: one where that is told."""


def list_models() -> tuple[ModelEntry, ...]:
    """All models of the catalog, as they are on this disk now, and the single files in the folder for them."""
    default = default_model()
    return (*(_entry(card, default) for card in MODELS.values()), *map(_file_entry, list_weights()))


def free_room() -> tuple[Path, int]:
    """The folder where downloads go, and the bytes free on its disk."""
    folder = models_dir()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return folder, shutil.disk_usage(there).free


def delete_model(model: str) -> int:
    """Remove a model from the Hub cache, with what `flux2 quantize` made of it, whole or in parts as it is there.

    Args:
        model: a catalog name or the id of a FLUX.2 repository. Nothing else in the cache is touched.

    Returns:
        Bytes that are free again.

    Raises:
        RequestError: if it is the embedded model, a folder of the user's, another kind of model, or not here.
        CheckpointError: if it is being downloaded, or can't be removed.
    """
    from huggingface_hub.utils import WeakFileLock

    repo = deletable(model)
    lock = locks(repo) / "flux2.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    try:
        with WeakFileLock(lock, timeout=_LOCK_SECONDS):
            freed = _delete(repo)
    except TimeoutError as error:
        raise CheckpointError(f"{model} is being downloaded; cancel that first.") from error
    except OSError as error:
        raise CheckpointError(f"{model} can't be removed wholly ({error.strerror or error}); try again.") from error
    forget(repo)
    return freed


def deletable(model: str) -> str:
    """The repository of a model that may be deleted.

    Raises:
        RequestError: if it may not be, or is not here.
    """
    card = find_card(model)
    if card and not card.repo:
        raise RequestError(f"{card.name} is part of this program and can't be deleted.")
    repo = card.repo if card else model
    if not is_repo_id(repo):
        raise RequestError(f"{model!r} is no model in the Hub cache; choose one that `flux2 models` lists.")
    if not storage(repo).is_dir():
        raise RequestError(f"Nothing of {model} is in the Hub cache.")
    if card is None:
        folder = find_local(repo)
        try:
            read_index(folder or storage(repo))
        except CheckpointError as error:
            raise RequestError(f"{model} is not a FLUX.2 model; `hf cache` manages the others.") from error
    return repo


def _delete(repo: str) -> int:
    from huggingface_hub import scan_cache_dir

    place = storage(repo)
    prepared = [folder for snapshot in _snapshots(repo) for folder in _prepared_folders(snapshot)]
    freed = _disk_bytes([place, *prepared])
    cache = scan_cache_dir(place.parent)
    commits = [
        revision.commit_hash
        for cached in cache.repos
        if cached.repo_type == "model" and cached.repo_id == repo
        for revision in cached.revisions
    ]
    cache.delete_revisions(*commits).execute()
    for folder in (place, *prepared):  # parts without a name yet are nothing that the library knows of
        if folder.exists():
            shutil.rmtree(folder)
    return freed


def _entry(card: ModelCard, default: str) -> ModelEntry:
    folder = find_local(card.name)
    state, here, size = _amount(card, folder)
    prepared = prepared_levels(folder / "transformer") if folder else frozenset()
    return ModelEntry(
        name=card.name,
        title=card.title,
        parameters=round(card.parameters * 1e9),
        licence=card.licence,
        gated=card.gated,
        repo=card.repo,
        state=state,
        here=here,
        size=size,
        folder=str(folder) if folder else "",
        prepared=tuple(level for level in QUANTIZATIONS if level in prepared),
        default=card.name == default,
    )


def _file_entry(file: WeightsFile) -> ModelEntry:
    bases = (file.base,) if file.base else file.bases
    card = MODELS[bases[0]] if bases else None
    prepared = prepared_levels(file.path)
    return ModelEntry(
        name=str(file.path),
        title=file.path.name,
        parameters=round(card.parameters * 1e9) if card else 0,
        licence=card.licence if card else "unknown licence",
        gated=False,
        repo="",
        state="file",
        here=file.size,
        size=file.size,
        folder=str(file.path.parent),
        prepared=tuple(level for level in QUANTIZATIONS if level in prepared),
        default=False,
        bases=bases,
    )


def _amount(card: ModelCard, folder: Path | None) -> tuple[str, int, int]:
    """State, bytes here, bytes of all."""
    named = _named_bytes(folder) if folder else 0
    if not card.repo:
        return "embedded", named, named
    if folder and lacking(folder) is None:
        return "ready", named, named
    manifest = Manifest.last(card.repo)
    here = max(named, manifest.here if manifest else 0)
    size = manifest.size if manifest else estimated_size(card.name)
    return ("partly" if here else "absent"), min(here, size), size


def _named_bytes(folder: Path) -> int:
    """Bytes of the files that a run needs."""
    return sum(path.stat().st_size for path in {path for pattern in NEEDED_FILES for path in folder.glob(pattern)})


def estimated_size(name: str) -> int:
    """Bytes of a model's weights, from its architecture: within some percent of what a download brings."""
    return _BYTES_PER_WEIGHT * sum(count(shapes) for shapes in ARCHITECTURES[name].shapes().values())


def _snapshots(repo: str) -> list[Path]:
    folder = storage(repo) / "snapshots"
    return list(folder.iterdir()) if folder.is_dir() else []


def _prepared_folders(snapshot: Path) -> list[Path]:
    folders = [quantized_folder(snapshot / "transformer", level) for level in QUANTIZATIONS]
    return [folder for folder in folders if folder.is_dir()]


def _disk_bytes(folders: Iterable[Path]) -> int:
    """Bytes of files, not of the links that name them."""
    paths = (path for folder in folders for path in folder.rglob("*"))
    return sum(path.stat().st_size for path in paths if path.is_file() and not path.is_symlink())
