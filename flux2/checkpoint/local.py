"""Where a model lies on this machine. Asks the disk alone: no network, and nothing heavy imported."""

from __future__ import annotations

from pathlib import Path

from flux2.architecture.catalog import MODELS, find_card
from flux2.checkpoint.files import INDEX_FILE, missing_file, read_index
from flux2.errors import CheckpointError
from flux2.paths import expand, models_dir, pocket_checkpoint

_VAE_CONFIG = "config.json"


def find_local(model: str) -> Path | None:
    """The folder of a catalog name, Hub repository or folder; None if this machine has none.

    A repository counts where the Hub's cache holds a snapshot of it; the one that `refs/main` names goes first.
    """
    card = find_card(model)
    if card and not card.repo:
        return pocket_checkpoint()
    if not card and model and _is_folder(folder := expand(model)):
        return folder
    return _cached_snapshot(card.repo if card else model)


def find_local_vae(name: str) -> Path | None:
    """The folder of an autoencoder, with its config.json: a folder, a Hub repository, or the vae/ of either.

    None if this machine has none of that name.
    """
    folder = find_local(name) or _cached_snapshot(name, _VAE_CONFIG)
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
    """Whether a folder holds all files of a model that this program can run; their contents are not looked into."""
    try:
        return bool(read_index(folder)) and missing_file(folder) is None
    except CheckpointError:
        return False


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long, a folder that may not be entered
        return False


def _cached_snapshot(repo: str, known_by: str = INDEX_FILE) -> Path | None:
    """Of a Hub repository, in the Hub's cache; snapshots without the file that it is known by don't count."""
    # The cache's documented layout; the library's own look-up takes ten times as long to import.
    # https://huggingface.co/docs/huggingface_hub/guides/manage-cache
    cache = models_dir() / f"models--{repo.replace('/', '--')}"
    try:
        snapshots = sorted(folder for folder in (cache / "snapshots").iterdir() if (folder / known_by).is_file())
    except (OSError, ValueError):
        return None
    try:
        main = cache / "snapshots" / (cache / "refs" / "main").read_text().strip()
    except OSError:
        main = None
    return main if main in snapshots else next(iter(snapshots), None)
