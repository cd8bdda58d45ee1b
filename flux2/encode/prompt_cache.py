"""Prompt embeddings kept on the disk, so that the same prompt never needs the text encoder twice.

An entry is found by everything that its numbers depend on: the prompt, its length in tokens, the tokenizer's files
(with the chat template), the text encoder's files and config, and the dtype computed in. Nothing here is precious: an
entry that is damaged, another prompt's or another user's is taken for a missing one, and the oldest go when there are
too many.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint.safetensors_file import dtype_name, read_header, read_metadata, read_tensor
from flux2.checkpoint.safetensors_writer import write
from flux2.disk.atomic import put_aside, replacing
from flux2.disk.private import check_own, make_private
from flux2.errors import CheckpointError
from flux2.paths import cache_dir

FORMAT = 2
"""Counted up when the same prompt would give other numbers, or be stored in another way."""
MAX_BYTES = 512 * 1024**2
"""Bytes of all entries together: 34 of Dev's, 68 of Klein 4B's."""
_EMBEDDINGS, _DROPPED = "prompt_embeds", "dropped_tokens"
_KEY = "key"
"""In the metadata: what the file is called, so that none is taken for another."""


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What the text encoder made of a prompt."""

    embeddings: mx.array
    """[1, tokens, joint_attention_dim]"""
    dropped: int
    """Tokens of the prompt that did not fit."""


def fingerprint(files: Iterable[Path], *facts: Any) -> str:
    """What changes when one of the files or facts does; files count by path, size and time of change.

    Raises:
        OSError: if one of the files is not there.
    """
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files)]
    return _digest(FORMAT, stats, facts)


@dataclass(frozen=True, slots=True)
class PromptCache:
    """One file per prompt, named by a digest of all it depends on."""

    encoder: str
    """The fingerprint of tokenizer and text encoder."""
    folder: Path = field(default_factory=lambda: cache_dir() / "prompts")
    max_bytes: int = MAX_BYTES

    def find(self, prompt: str, length: int | None) -> EncodedPrompt | None:
        """The embeddings of a prompt of so many tokens; None if they are not there or can't be read."""
        path = self._path(prompt, length)
        try:
            check_own(path)
            tensors = read_header(path)
            if read_metadata(path).get(_KEY) != path.stem or not all(info.digest for info in tensors.values()):
                return None
            found = EncodedPrompt(read_tensor(tensors[_EMBEDDINGS]), int(np.array(read_tensor(tensors[_DROPPED]))))
        except (CheckpointError, OSError, KeyError, TypeError, ValueError):
            return None
        with contextlib.suppress(OSError):
            path.touch()  # used last, dropped last
        return found

    def keep(self, prompt: str, length: int | None, encoded: EncodedPrompt) -> None:
        """Store them, and drop the oldest where there are too many. A disk that is full or read-only is no failure."""
        path = self._path(prompt, length)
        arrays = {_EMBEDDINGS: encoded.embeddings, _DROPPED: mx.array(encoded.dropped)}
        stored = {name: (dtype_name(array.dtype), tuple(array.shape)) for name, array in arrays.items()}
        with contextlib.suppress(OSError):
            make_private(self.folder)
            if path.is_dir():
                put_aside(path)
            with replacing(path) as draft:
                write(draft, stored, {_KEY: path.stem}, iter(arrays.items()))
            self._drop_oldest()

    def _path(self, prompt: str, length: int | None) -> Path:
        return self.folder / f"{_digest(self.encoder, prompt, length)}.safetensors"

    def _drop_oldest(self) -> None:
        entries = sorted((path.stat().st_mtime_ns, path.stat().st_size, path) for path in self.folder.iterdir())
        used = sum(size for _, size, _ in entries)
        for _, size, path in entries:
            if used <= self.max_bytes:
                return
            with contextlib.suppress(OSError):  # what somebody else put there
                path.unlink()
                used -= size


def _digest(*facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()
