"""A checkpoint folder in the diffusers layout, opened: the parts that it has, and whether they fit together.

Opening one reads configs and headers only. No tensor is read, and nothing is believed that was not checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.architecture.config_reader import check_class
from flux2.architecture.guidance import Guidance, guidance_of
from flux2.architecture.reference_caching import caches_references
from flux2.checkpoint.files import (
    CHECKPOINT_PARTS,
    SYNTHETIC_MARKER,
    TOKENIZER,
    Part,
    read_index,
)
from flux2.checkpoint.holes import check_written
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.missing import explain_missing, what_lies_here
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.safetensors_file import TensorInfo, read_header
from flux2.checkpoint.tokenizer_files import check_tokenizer
from flux2.checkpoint.weight_files import find_weights, missing_weights
from flux2.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a checkpoint: its config and the tensors its files hold."""

    folder: Path
    config: dict[str, Any]
    class_name: str
    tensors: dict[str, TensorInfo]

    @property
    def nbytes(self) -> int:
        return sum(info.nbytes for info in self.tensors.values())

    @property
    def files(self) -> list[Path]:
        return sorted({info.path for info in self.tensors.values()})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole one, checked as far as configs and headers go."""

    folder: Path
    index: dict[str, Any]
    transformer: Component
    vae: Component
    text_encoder: Component
    scheduler: Component

    @property
    def tokenizer_folder(self) -> Path:
        return self.folder / TOKENIZER

    def stamps(self) -> tuple[tuple[str, int, int], ...]:
        """Name, size and time of change of every file of weights; other ones mean other headers."""
        files = [path for part in (self.transformer, self.vae, self.text_encoder) for path in part.files]
        try:
            return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)
        except OSError:
            return ()

    @property
    def guidance(self) -> Guidance:
        return guidance_of(self.index)

    @property
    def caches_references(self) -> bool:
        """Whether it was trained for references whose keys and values are cached."""
        return caches_references(self.index, self.folder)


def open_checkpoint(folder: Path, vae: Path | None = None) -> Checkpoint:
    """Read and check configs and headers of every part.

    Args:
        vae: the folder of an autoencoder that takes the place of the checkpoint's own.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong or missing, and the remedy.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; {what_lies_here(folder)}")
    index = read_index(folder)
    check_tokenizer(folder / TOKENIZER)
    folders = {name: folder / name for name in CHECKPOINT_PARTS} | ({"vae": vae} if vae else {})
    return Checkpoint(
        folder, index, **{name: _open_component(folders[name], part) for name, part in CHECKPOINT_PARTS.items()}
    )


def _open_component(folder: Path, part: Part) -> Component:
    config = read_json(folder / part.config)
    class_name = check_class(folder / part.config, config.get(part.class_key), part.classes)
    component = Component(folder, config, class_name, open_weights(folder, part.weights) if part.weights else {})
    if not (folder.parent / SYNTHETIC_MARKER).exists():
        check_written(component.files)
    return component


def open_weights(folder: Path, stem: str) -> dict[str, TensorInfo]:
    """Every tensor of the component's file or shards; where there is an index, exactly those that it lists.

    Raises:
        CheckpointError: if a file is missing, or is not what the index says.
    """
    weights = find_weights(folder, stem)
    if weights is None:
        raise CheckpointError(explain_missing(missing_weights(folder, stem) or folder, stem))
    tensors: dict[str, TensorInfo] = {}
    for path in weights.files:
        found = read_header(path)
        tensors |= {name: info for name, info in found.items() if weights.placed.get(name, path.name) == path.name}
    if lost := weights.placed.keys() - tensors.keys():
        name = min(lost)
        raise CheckpointError(
            f"{folder / weights.placed[name]} lacks tensor {name}, which {stem}.safetensors.index.json places there; "
            f"{fetch_anew(folder / weights.placed[name])}."
        )
    return tensors
