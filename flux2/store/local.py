"""Where a model lies on this machine. Asks the disk alone: no network, and nothing heavy imported."""

from __future__ import annotations

from pathlib import Path

from flux2.architecture.catalog import MODELS, find_card
from flux2.architecture.model_names import catalog_name, repository_of
from flux2.checkpoint.files import INDEX_FILE, missing_file, read_index
from flux2.checkpoint.manifest import Manifest, storage
from flux2.checkpoint.model_files import ENDINGS
from flux2.errors import CheckpointError
from flux2.folders import weights_dir
from flux2.paths import expand, pocket_checkpoint

_VAE_CONFIG = "config.json"


def resolve_name(model: str) -> str:
    """A model's name as the program has it, of what a user calls it: paths stay, other spellings become the catalog's.

    What lies in the folder for single files may be called by its name there.
    `FLUX.2-klein-4B` is klein-4b, and the address of a repository's page its id. What is unknown is left as it is.
    """
    if not model or find_card(model) or exists(expand(model)):
        return model
    if model.lower().endswith(ENDINGS) and (file := _in_weights_folder(model)):
        return str(file)
    return catalog_name(model) or repository_of(model)


def _in_weights_folder(name: str) -> Path | None:
    """The file of this name in the folder for single files, or below: pictures tell no more of it."""
    folder = weights_dir()
    if exists(folder / name):
        return folder / name
    try:
        return min((path for path in folder.rglob("*") if path.name == name), default=None)
    except OSError:
        return None


def find_local(model: str) -> Path | None:
    """The folder of a catalog name, Hub repository or folder; None if this machine has none.

    A repository counts where the Hub's cache holds a snapshot of it; the one that `refs/main` names goes first, unless
    it is incomplete and another one is not.
    """
    card = find_card(model)
    if card and not card.repo:
        return pocket_checkpoint()
    return own_folder(model) or _snapshot(storage(card.repo if card else model))


def own_folder(model: str) -> Path | None:
    """The folder that a user gave the path of; None for the name of a model, and for no folder."""
    if not model or find_card(model) or not _is_folder(folder := expand(model)):
        return None
    if (folder / "snapshots").is_dir() and not (folder / INDEX_FILE).exists():  # a repository's in a Hub cache
        return _snapshot(folder) or folder
    return folder


def lacking(folder: Path) -> Path | None:
    """The first file of a checkpoint that is not here wholly; None where all are, as far as their lengths tell."""
    if missing := missing_file(folder):
        return missing
    manifest = Manifest.of_snapshot(folder)
    short = (manifest.snapshot_path(file) for file in manifest.files if not manifest.is_named(file)) if manifest else ()
    return next(iter(short), None)


def find_local_vae(name: str) -> Path | None:
    """The folder of an autoencoder, with its config.json: a folder, a Hub repository, or the vae/ of either.

    None if this machine has none of that name.
    """
    folder = find_local(name) or _snapshot(storage(name), _VAE_CONFIG)
    return vae_within(folder) if folder else None


def vae_within(folder: Path) -> Path | None:
    """The checkpoint's vae/, or the folder itself if it is an autoencoder's; None if there is none."""
    return next((place for place in (folder / "vae", folder) if (place / _VAE_CONFIG).is_file()), None)


def default_model() -> str:
    """What is used where no model is named: the first of the catalog that is here to run, else the embedded one."""
    cards = MODELS.values()
    here = ((card.name, find_local(card.name)) for card in cards if card.repo)
    ready = (name for name, folder in here if folder and is_ready(folder))
    return next(ready, next(card.name for card in cards if not card.repo))


def is_ready(folder: Path) -> bool:
    """Whether a folder holds all files of a model that this program can run, whole as far as their lengths tell."""
    try:
        return bool(read_index(folder)) and lacking(folder) is None
    except CheckpointError:
        return False


def exists(path: Path) -> bool:
    """Whether anything is at a path, that may have been typed."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that is too long, a folder that may not be entered, a zero byte
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def _snapshot(cache: Path, known_by: str = INDEX_FILE) -> Path | None:
    """The snapshot that is used of a repository's folder in a Hub cache; those without `known_by` don't count."""
    # The cache's documented layout; the library's own look-up takes ten times as long to import.
    # https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    try:
        snapshots = sorted(folder for folder in (cache / "snapshots").iterdir() if (folder / known_by).is_file())
    except (OSError, ValueError):
        return None
    try:
        main = cache / "snapshots" / (cache / "refs" / "main").read_text().strip()
    except (OSError, ValueError):
        main = None
    snapshots.sort(key=lambda folder: folder != main)
    if len(snapshots) > 1 and known_by == INDEX_FILE:
        return next((folder for folder in snapshots if missing_file(folder) is None), snapshots[0])
    return next(iter(snapshots), None)
