"""Prompt embeddings kept on the disk, so that the same prompt never needs the text encoder twice.

An entry is found by everything that its numbers depend on: the prompt, its length in tokens, the tokenizer's files
(with the chat template), the text encoder's files and config, and the dtype computed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from flux2.backend.mlx import mx
from flux2.checkpoint import array_cache
from flux2.checkpoint.array_cache import ArrayCache, digest_of
from flux2.paths import cache_dir

FORMAT = 2
"""Counted up when the same prompt would give other numbers, or be stored in another way."""
MAX_BYTES = 512 * 1024**2
"""Bytes of all entries together: 34 of Dev's, 68 of Klein 4B's."""
_EMBEDDINGS, _DROPPED = "prompt_embeds", "dropped_tokens"


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """What the text encoder made of a prompt."""

    embeddings: mx.array
    """[1, tokens, joint_attention_dim]"""
    dropped: int
    """Tokens of the prompt that did not fit."""


def fingerprint(files: Iterable[Path], *facts: Any) -> str:
    """What changes when one of the files or facts does; see `flux2.checkpoint.array_cache`.

    Raises:
        OSError: if one of the files is not there.
    """
    return array_cache.fingerprint(files, FORMAT, *facts)


@dataclass(frozen=True, slots=True)
class PromptCache:
    """One file per prompt, named by a digest of all it depends on."""

    encoder: str
    """The fingerprint of tokenizer and text encoder."""
    folder: Path = field(default_factory=lambda: cache_dir() / "prompts")
    max_bytes: int = MAX_BYTES

    def find(self, prompt: str, length: int | None) -> EncodedPrompt | None:
        """The embeddings of a prompt of so many tokens; None if they are not there or can't be read."""
        found = self._arrays.find(self._key(prompt, length)) or {}
        try:
            return EncodedPrompt(found[_EMBEDDINGS], int(np.array(found[_DROPPED])))
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, prompt: str, length: int | None, encoded: EncodedPrompt) -> None:
        """Store them, and drop the oldest where there are too many. A disk that is full or read-only is no failure."""
        arrays = {_EMBEDDINGS: encoded.embeddings, _DROPPED: mx.array(encoded.dropped)}
        self._arrays.keep(self._key(prompt, length), arrays)

    @property
    def _arrays(self) -> ArrayCache:
        return ArrayCache(self.folder, self.max_bytes)

    def _key(self, prompt: str, length: int | None) -> str:
        return digest_of(self.encoder, prompt, length)

    def _path(self, prompt: str, length: int | None) -> Path:
        return self._arrays.path(self._key(prompt, length))
