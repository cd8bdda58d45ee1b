"""Where the parts of a model lie and what their configs say: a folder in the diffusers layout, or put together.

Read without MLX, for the plan and for the run alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from flux2.checkpoint.files import CHECKPOINT_PARTS, TOKENIZER, read_index
from flux2.checkpoint.json_file import read_json

ENDINGS = (".safetensors", ".sft", ".gguf")
"""Endings of names of single files of weights."""
Spelling = Literal["diffusers", "bfl", "mflux"]
"""Who wrote a part's tensors under whose names and in whose order (`flux2.checkpoint.arrangements`)."""


MFLUX_STEM = "model"
"""Beginning of the name of the index of a part that mflux saved; of diffusers' see `CHECKPOINT_PARTS`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartFiles:
    """One part: its weights' place and its config."""

    place: Path
    """Folder, or single file of weights."""
    config: Mapping[str, Any]
    config_path: Path
    """What tells of the config, for sentences: config.json, or the single file."""
    spelling: Spelling = "diffusers"
    prefix: str = ""
    """What stands before the names of all its tensors, beside which the file may hold others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFiles:
    """All parts of a model."""

    place: Path
    """What a user names it by: its folder, or the single file of its transformer."""
    index: Mapping[str, Any]
    """What model_index.json says."""
    parts: Mapping[str, PartFiles]
    """Parts by the names of `CHECKPOINT_PARTS`."""
    tokenizer: Path | None
    """Its folder; None where only a plan is wanted, and it is not here."""

    @property
    def is_here(self) -> bool:
        """Whether there is a place for every part; what lies there was not looked at."""
        return self.tokenizer is not None and all(part.place.exists() for part in self.parts.values())

    def with_part(self, name: str, part: PartFiles) -> ModelFiles:
        """Model with another part in place of one of its own."""
        return replace(self, parts={**self.parts, name: part})


def files_of_folder(folder: Path) -> ModelFiles:
    """The files of a folder in the diffusers layout, whose configs are read now.

    Raises:
        CheckpointError: if one of them is missing or damaged.
    """
    return ModelFiles(
        place=folder,
        index=read_index(folder),
        parts={name: files_of_part(folder / name, name) for name in CHECKPOINT_PARTS},
        tokenizer=folder / TOKENIZER,
    )


def files_of_part(folder: Path, name: str) -> PartFiles:
    """The files of one part in a folder of its own, under the config that lies there.

    Raises:
        CheckpointError: if that is missing or damaged.
    """
    path = folder / CHECKPOINT_PARTS[name].config
    return PartFiles(place=folder, config=read_json(path), config_path=path)
