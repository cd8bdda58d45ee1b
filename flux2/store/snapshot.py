"""A repository's files under their names: a link to each blob, or, where the disk has no links, the blob itself.

huggingface_hub copies where it can't link, into the file's final name: what ends the copy leaves a short file there,
which counts as downloaded, and the copy takes the room of the model once more. Here a name appears with its whole file
or not at all, and a blob that nothing else points to is moved.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from huggingface_hub import constants

from flux2.checkpoint.manifest import HubFile, Manifest, storage
from flux2.disk.atomic import write_atomically


def name_files(manifest: Manifest) -> Path:
    """Give every file of the manifest, all of which are on the disk, its name; then let `main` be this snapshot.

    Returns:
        The snapshot's folder.

    Raises:
        OSError: if the disk is full or can't be written; what has a name by then is whole.
    """
    links = _has_links(manifest)
    for file in manifest.files:
        if not manifest.is_named(file):
            _name(manifest, file, links)
    main = storage(manifest.repo) / "refs" / "main"
    main.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(main, manifest.commit.encode())
    return storage(manifest.repo) / "snapshots" / manifest.commit


def bytes_to_copy(manifest: Manifest) -> int:
    """Room that `name_files` needs beyond the blobs: for files that can't be linked, nor moved away from others."""
    if _has_links(manifest):
        return 0
    return sum(file.size for file in manifest.files if not manifest.is_named(file) and _is_linked(manifest, file))


def _name(manifest: Manifest, file: HubFile, links: bool) -> None:
    blob, name = manifest.blob(file), manifest.snapshot_path(file)
    name.parent.mkdir(parents=True, exist_ok=True)
    if links:
        name.unlink(missing_ok=True)  # a short copy, or a link to what is gone
        name.symlink_to(os.path.relpath(blob, name.parent))
        return
    if _is_linked(manifest, file):
        copy = blob.with_name(f"{blob.name}.flux2.copy")  # the same name every time: a broken-off one is written over
        shutil.copyfile(blob, copy)
        with copy.open("rb+") as written:
            os.fsync(written.fileno())
        blob = copy
    blob.replace(name)


def _has_links(manifest: Manifest) -> bool:
    """Whether the cache's disk has symbolic links, and the user wants them."""
    if constants.HF_HUB_DISABLE_SYMLINKS:
        return False
    probe = storage(manifest.repo) / f".flux2-link-{os.getpid()}"
    try:
        probe.symlink_to("nowhere")
    except OSError:
        return False
    probe.unlink(missing_ok=True)
    return True


def _is_linked(manifest: Manifest, file: HubFile) -> bool:
    """Whether another snapshot has the blob by a link, made where there were some."""
    blob = manifest.blob(file)
    links = (path for path in (storage(manifest.repo) / "snapshots").rglob("*") if path.is_symlink())
    return any(path.readlink().name == blob.name and path != manifest.snapshot_path(file) for path in links)
