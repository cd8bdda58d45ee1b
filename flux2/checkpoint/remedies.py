"""What brings a file that is missing or damaged: it depends on whose folder it lies in, which is looked up."""

from __future__ import annotations

from pathlib import Path

from flux2.architecture.catalog import find_card
from flux2.checkpoint.manifest import Manifest, repository_of_snapshot
from flux2.paths import pocket_checkpoint

_COMPARED = 1 << 30
"""Bytes up to which a file is compared with the Hub's digest to choose a remedy: some seconds."""


def fetch_again(path: Path) -> str:
    """The remedy for a file that is here and damaged, to end a sentence with."""
    if snapshot := _snapshot_of(path):
        if _is_as_published(snapshot, path):
            return f"{_name(snapshot)} has it so on the Hub: choose another model"
        return f"`flux2 models download {_name(snapshot)}` brings it again"
    if path.is_relative_to(pocket_checkpoint()):
        return "install flux2-tui again"
    return "download it again"


def fetch_anew(path: Path) -> str:
    """The remedy for a file that is as long as it has to be and holds what it can't, to end a sentence with."""
    if snapshot := _snapshot_of(path):
        name = _name(snapshot)
        if _is_as_published(snapshot, path):
            return fetch_again(path)
        return f"`flux2 models delete {name}`, then `flux2 models download {name}`, brings it again"
    return fetch_again(path)


def complete(path: Path) -> str:
    """The remedy for a file that is missing, to end a sentence with."""
    if snapshot := _snapshot_of(path):
        manifest = Manifest.of_snapshot(snapshot)
        if manifest and manifest.here == manifest.size and not manifest.has(path.relative_to(snapshot).as_posix()):
            return f"{repository_of_snapshot(snapshot)} has none: choose another model"
        return f"`flux2 models download {_name(snapshot)}` completes it"
    if path.is_relative_to(pocket_checkpoint()):
        return "install flux2-tui again"
    return "put it there from where the folder came, or name the model by its Hub repository"


def _is_as_published(snapshot: Path, path: Path) -> bool:
    """Whether a file of a snapshot is, bit for bit, what the Hub has, so that fetching it changes nothing."""
    manifest, name = Manifest.of_snapshot(snapshot), path.relative_to(snapshot).as_posix()
    known = next((file for file in manifest.files if file.path == name), None) if manifest else None
    try:
        return known is not None and known.size <= _COMPARED and known.is_in(path)
    except OSError:
        return False


def _snapshot_of(path: Path) -> Path | None:
    """The snapshot in the Hub's cache that a path lies in; None for a folder of the user's own."""
    return next((folder for folder in path.parents if repository_of_snapshot(folder)), None)


def _name(snapshot: Path) -> str:
    repo = repository_of_snapshot(snapshot)
    card = find_card(repo)
    return card.name if card else repo
