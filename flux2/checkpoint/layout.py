"""A checkpoint, opened: the parts that it has, whichever way they lie, and their tensors by name.

Opening one reads configs and headers only. No tensor is read, and nothing is believed that was not checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.architecture.config_reader import check_class
from flux2.architecture.guidance import Guidance, guidance_of
from flux2.architecture.reference_caching import caches_references
from flux2.checkpoint.arrangements import (
    Arrangement,
    as_named,
    bfl_autoencoder,
    bfl_transformer,
    mflux,
    under_prefix,
)
from flux2.checkpoint.files import CHECKPOINT_PARTS, SYNTHETIC_MARKER, Part
from flux2.checkpoint.gguf_file import read_gguf
from flux2.checkpoint.gguf_header import is_gguf
from flux2.checkpoint.holes import check_written
from flux2.checkpoint.missing import explain_missing, what_lies_here
from flux2.checkpoint.model_files import MFLUX_STEM, ModelFiles, PartFiles, files_of_folder, files_of_part
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.safetensors_file import TensorInfo, read_header
from flux2.checkpoint.tokenizer_files import check_tokenizer
from flux2.checkpoint.weight_files import find_weights, missing_weights
from flux2.errors import CheckpointError


@dataclass(frozen=True, slots=True)
class Component:
    """One part of a checkpoint: its config and the tensors its files hold."""

    place: Path
    """Its folder, or its single file."""
    config: Mapping[str, Any]
    class_name: str
    tensors: dict[str, TensorInfo]
    arrangement: Arrangement = as_named
    """How its tensors become those of the network."""

    @property
    def config_path(self) -> Path:
        """What its config was read from, or made out by."""
        return self.place / "config.json" if self.place.is_dir() else self.place

    @property
    def nbytes(self) -> int:
        return sum(info.nbytes for info in self.tensors.values())

    @property
    def files(self) -> list[Path]:
        return sorted({info.path for info in self.tensors.values()})


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A whole one, checked as far as configs and headers go."""

    place: Path
    """Its folder, or the single file of its transformer."""
    index: Mapping[str, Any]
    transformer: Component
    vae: Component
    text_encoder: Component
    scheduler: Component
    tokenizer_folder: Path

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
        return caches_references(self.index, self.place)


def open_checkpoint(folder: Path, vae: Path | None = None) -> Checkpoint:
    """Read and check configs and headers of every part of a folder in the diffusers layout.

    Args:
        vae: the folder of an autoencoder that takes the place of the checkpoint's own.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong or missing, and the remedy.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; {what_lies_here(folder)}")
    files = files_of_folder(folder)
    return open_files(files.with_part("vae", files_of_part(vae, "vae")) if vae else files)


def open_files(files: ModelFiles) -> Checkpoint:
    """Read and check the headers of every part, wherever each lies; see `open_checkpoint`."""
    assert files.tokenizer
    check_tokenizer(files.tokenizer)
    opened = {name: _open_component(files.parts[name], part) for name, part in CHECKPOINT_PARTS.items()}
    return Checkpoint(files.place, files.index, **opened, tokenizer_folder=files.tokenizer)


def _open_component(files: PartFiles, part: Part) -> Component:
    class_name = check_class(files.config_path, files.config.get(part.class_key), part.classes)
    tensors = _open_tensors(files, part) if part.weights else {}
    component = Component(files.place, files.config, class_name, tensors, _arrangement(files, part))
    if not (files.place.parent / SYNTHETIC_MARKER).exists():
        check_written(component.files)
    return component


def _open_tensors(files: PartFiles, part: Part) -> dict[str, TensorInfo]:
    if files.place.is_dir():
        return open_weights(files.place, MFLUX_STEM if files.spelling == "mflux" else part.weights)
    return read_gguf(files.place) if is_gguf(files.place) else read_header(files.place)


def _arrangement(files: PartFiles, part: Part) -> Arrangement:
    inner: Arrangement = as_named
    if files.spelling == "mflux":
        inner = mflux
    elif files.spelling == "bfl" and part.folder == "transformer":
        inner = bfl_transformer
    elif files.spelling == "bfl" and part.folder == "vae":
        inner = bfl_autoencoder(len(files.config["block_out_channels"]))
    return under_prefix(files.prefix, inner) if files.prefix else inner


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
