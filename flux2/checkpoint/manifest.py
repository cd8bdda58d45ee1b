"""What a download will bring, and how much of it is on this disk: in the Hub cache's own layout.

https://huggingface.co/docs/huggingface_hub/guides/manage-cache: the bytes of a file lie at `blobs/<digest>`, and
`snapshots/<commit>/<path>` points there. A part of a file lies beside, as `blobs/<digest>.flux2.incomplete`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flux2.disk.atomic import write_atomically
from flux2.disk.private import make_private, read_own
from flux2.folders import models_dir
from flux2.paths import cache_dir

_DIGEST = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_PREFIX = "models--"
_PIECE = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of a repository at one commit."""

    path: str
    size: int
    digest: str
    """Names the blob: the SHA-256 of a large file, git's SHA-1 of a small one."""

    @property
    def is_named_by_digest(self) -> bool:
        """False where the Hub gave something else, which must not become part of a path."""
        return bool(_DIGEST.fullmatch(self.digest))

    @property
    def stays_inside(self) -> bool:
        """False for a path that would lead out of the snapshot's folder."""
        return not {"", ".", ".."} & set(self.path.split("/")) and "\\" not in self.path and "\0" not in self.path

    def hasher(self) -> Any:
        """Fed with all of the file, its hexdigest is `digest`."""
        if len(self.digest) == hashlib.sha256().digest_size * 2:
            return hashlib.sha256()
        return hashlib.sha1(b"blob %d\0" % self.size, usedforsecurity=False)  # https://git-scm.com/book: Git Objects

    def is_in(self, path: Path) -> bool:
        """Whether that file holds it, bit for bit.

        Raises:
            OSError: if it can't be read.
        """
        if path.stat().st_size != self.size:
            return False
        hasher = self.hasher()
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
        return bool(hasher.hexdigest() == self.digest)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of a repository that a run needs."""

    repo: str
    commit: str
    files: tuple[HubFile, ...]

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def here(self) -> int:
        """Bytes that are on this disk, parts of files counted."""
        return sum(self.bytes_here(file) for file in self.files)

    def bytes_here(self, file: HubFile) -> int:
        if self.is_named(file) or _length(self.blob(file)) == file.size:
            return file.size
        return min(max(_length(self.part(file)), 0), file.size)

    def is_named(self, file: HubFile) -> bool:
        """Whether the whole file is in the snapshot; a copy that was broken off there is shorter."""
        return _length(self.snapshot_path(file)) == file.size

    def has(self, path: str) -> bool:
        """Whether the repository has a file of this path that a run needs."""
        return any(file.path == path for file in self.files)

    def blob(self, file: HubFile) -> Path:
        return storage(self.repo) / "blobs" / file.digest

    def part(self, file: HubFile) -> Path:
        """A name of our own: huggingface_hub itself starts every file afresh and removes what it can't use."""
        return storage(self.repo) / "blobs" / f"{file.digest}.flux2.incomplete"

    def lock(self, file: HubFile) -> Path:
        """The one that huggingface_hub holds while it downloads the same file."""
        return locks(self.repo) / f"{file.digest}.lock"

    def snapshot_path(self, file: HubFile) -> Path:
        return storage(self.repo) / "snapshots" / self.commit / file.path

    # --- kept, so that a list of models needs no network -------------------------------------------------------------

    def save(self) -> None:
        """Write it down whole or not at all."""
        path = _note(self.repo)
        make_private(path.parent)
        write_atomically(path, json.dumps(asdict(self)).encode())

    @classmethod
    def of_snapshot(cls, folder: Path) -> Manifest | None:
        """The manifest of a snapshot in the cache, where this program downloaded it; None for any other folder."""
        repo = repository_of_snapshot(folder)
        manifest = cls.last(repo) if repo else None
        return manifest if manifest and manifest.commit == folder.name else None

    @classmethod
    def last(cls, repo: str) -> Manifest | None:
        """Manifest of the repository when this program last downloaded it, wholly or in part."""
        try:
            data = json.loads(read_own(_note(repo)))
            files = tuple(HubFile(str(f["path"]), int(f["size"]), str(f["digest"])) for f in data["files"])
            return cls(repo, str(data["commit"]), files)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return None


def _length(path: Path) -> int:
    """Bytes of a file; -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def forget(repo: str) -> None:
    """Remove what `Manifest.save` wrote."""
    _note(repo).unlink(missing_ok=True)


def storage(repo: str) -> Path:
    """The repository's folder in the Hub cache."""
    return models_dir() / _folder_name(repo)


def repository_of_snapshot(folder: Path) -> str:
    """The repository's id, of a snapshot's folder in the Hub cache; "" for any other folder."""
    name = folder.parent.parent.name
    if folder.parent.name != "snapshots" or not name.startswith(_PREFIX) or folder.parents[2] != models_dir():
        return ""
    return name.removeprefix(_PREFIX).replace("--", "/", 1)


def locks(repo: str) -> Path:
    return models_dir() / ".locks" / _folder_name(repo)


def _folder_name(repo: str) -> str:
    return _PREFIX + repo.replace("/", "--")


def _note(repo: str) -> Path:
    return cache_dir() / "downloads" / f"{_folder_name(repo)}.json"
