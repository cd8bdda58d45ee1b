"""Arrays that took a network to make, kept on the disk under a digest of everything that they depend on.

Nothing here is precious: an entry that is damaged, of another key or another user's is taken for a missing one, and the
oldest go when there are too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import dtype_name, read_header, read_metadata, read_tensor
from flux2.checkpoint.safetensors_writer import write
from flux2.disk.atomic import put_aside, replacing
from flux2.disk.private import check_own, make_private
from flux2.errors import CheckpointError

_KEY = "key"
"""In the metadata: what the file is called, so that none is taken for another."""


def fingerprint(files: Iterable[Path], *facts: Any) -> str:
    """What changes when one of the files or facts does; files count by path, size and time of change.

    Raises:
        OSError: if one of the files is not there.
    """
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)]
    return digest_of(stats, facts)


def digest_of(*facts: Any) -> str:
    """A key of facts that JSON can hold."""
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ArrayCache:
    """One file per entry, named by its key."""

    folder: Path
    max_bytes: int
    """Bytes of all entries together."""

    def find(self, key: str) -> dict[str, mx.array] | None:
        """The arrays of an entry, by name; None if it is not there or can't be read."""
        path = self.path(key)
        try:
            check_own(path)
            tensors = read_header(path)
            if read_metadata(path).get(_KEY) != path.stem or not all(info.digest for info in tensors.values()):
                return None
            found = {name: read_tensor(info) for name, info in tensors.items()}
        except (CheckpointError, OSError, KeyError, TypeError, ValueError):
            return None
        with contextlib.suppress(OSError):
            path.touch()  # used last, dropped last
        return found

    def keep(self, key: str, arrays: Mapping[str, mx.array]) -> None:
        """Store an entry, and drop the oldest where there are too many; a disk that is full or read-only keeps none."""
        path = self.path(key)
        stored = {name: (dtype_name(array.dtype), tuple(array.shape)) for name, array in arrays.items()}
        with contextlib.suppress(OSError):
            make_private(self.folder)
            if path.is_dir():
                put_aside(path)
            with replacing(path) as draft:
                write(draft, stored, {_KEY: path.stem}, iter(arrays.items()))
            self._drop_oldest()

    def path(self, key: str) -> Path:
        """Where an entry lies."""
        return self.folder / f"{key}.safetensors"

    def _drop_oldest(self) -> None:
        entries = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.iterdir())
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if used <= self.max_bytes:
                return
            with contextlib.suppress(OSError):  # what somebody else put there
                path.unlink()
                used -= size
