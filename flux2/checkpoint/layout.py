"""A checkpoint folder in the diffusers layout: which files belong to which part, and whether they fit together.

    model_index.json   transformer/  vae/  text_encoder/  tokenizer/  scheduler/

Opening one reads configs and headers only. No tensor is read, and nothing is believed that was not checked.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.checkpoint.safetensors_file import TensorInfo, read_header
from flux2.errors import CheckpointError

INDEX_FILE = "model_index.json"
PIPELINES = ("Flux2KleinPipeline",)


@dataclass(frozen=True, slots=True)
class Part:
    """What is known of one of the folders before looking into it."""

    folder: str
    config: str
    class_key: str
    """Where its config names its class."""
    classes: tuple[str, ...]
    """The classes this engine implements."""
    weights: str = ""
    """The weights' file name without ".safetensors"; "" for a part without weights."""


PARTS = {
    part.folder: part
    for part in (
        Part(
            folder="transformer",
            config="config.json",
            class_key="_class_name",
            classes=("Flux2Transformer2DModel",),
            weights="diffusion_pytorch_model",
        ),
        Part(
            folder="vae",
            config="config.json",
            class_key="_class_name",
            classes=("AutoencoderKLFlux2",),
            weights="diffusion_pytorch_model",
        ),
        Part(
            folder="text_encoder",
            config="config.json",
            class_key="architectures",
            classes=("Qwen3ForCausalLM",),
            weights="model",
        ),
        Part(
            folder="scheduler",
            config="scheduler_config.json",
            class_key="_class_name",
            classes=("FlowMatchEulerDiscreteScheduler",),
        ),
    )
}
TOKENIZER = "tokenizer"


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
    def is_distilled(self) -> bool:
        """True where guidance was distilled into the weights, so that one pass per step does; False needs two (CFG)."""
        return bool(self.index.get("is_distilled", False))


def open_checkpoint(folder: Path) -> Checkpoint:
    """Read and check configs and headers of every part.

    Raises:
        CheckpointError: one sentence naming the file, what is wrong or missing, and the remedy.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder} is not a folder; name one that holds a {INDEX_FILE}, or a known model.")
    index = read_index(folder)
    if not (folder / TOKENIZER).is_dir():
        raise CheckpointError(f"{folder / TOKENIZER} is missing; download the checkpoint again.")
    return Checkpoint(folder, index, **{name: _open_component(folder, part) for name, part in PARTS.items()})


def read_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says; enough to tell whether the rest is worth downloading.

    Raises:
        CheckpointError: if it is missing, damaged, or of a pipeline this program can't run.
    """
    index = _read_json(folder / INDEX_FILE, "is this a checkpoint in the diffusers layout?")
    _check_class(folder / INDEX_FILE, index.get("_class_name"), PIPELINES)
    return index


def missing_file(folder: Path) -> Path | None:
    """The first file that a complete checkpoint would have here and this one has not: a download was interrupted.

    Raises:
        CheckpointError: if an index of shards is damaged.
    """
    needed = [folder / INDEX_FILE, folder / TOKENIZER]
    for part in PARTS.values():
        needed.append(folder / part.folder / part.config)
        if part.weights:
            needed += _weight_files(folder / part.folder, part.weights)
    return next((path for path in needed if not path.exists()), None)


def _open_component(root: Path, part: Part) -> Component:
    folder = root / part.folder
    config = _read_json(folder / part.config, "download the checkpoint again.")
    named = config.get(part.class_key)
    class_name = named[0] if isinstance(named, list) and named else named
    _check_class(folder / part.config, class_name, part.classes)
    tensors = open_weights(folder, part.weights) if part.weights else {}
    return Component(folder, config, str(class_name), tensors)


def open_weights(folder: Path, stem: str) -> dict[str, TensorInfo]:
    """Every tensor of the component's file or shards; where there is an index, exactly those that it lists."""
    tensors: dict[str, TensorInfo] = {}
    weight_map = _weight_map(folder, stem)
    for path in _weight_files(folder, stem):
        if not path.is_file():
            raise CheckpointError(f"{path} is missing; download the checkpoint again.")
        tensors |= {
            name: info for name, info in read_header(path).items() if weight_map.get(name, path.name) == path.name
        }
    if lost := weight_map.keys() - tensors.keys():
        name = min(lost)
        raise CheckpointError(
            f"{folder / weight_map[name]} lacks tensor {name}, which {stem}.safetensors.index.json places there; "
            "download the checkpoint again."
        )
    return tensors


def _weight_files(folder: Path, stem: str) -> list[Path]:
    """The shards that `stem`.safetensors.index.json lists, else the single file."""
    return sorted(folder / name for name in {*_weight_map(folder, stem).values()} or {f"{stem}.safetensors"})


def _weight_map(folder: Path, stem: str) -> dict[str, str]:
    """Which shard holds which tensor; empty where there is a single file."""
    index = folder / f"{stem}.safetensors.index.json"
    if not index.is_file():
        return {}
    weight_map = _read_json(index, "download it again.").get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index} has no weight_map; download it again.")
    for shard in weight_map.values():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(f"{index} points outside its folder, to {shard!r}; download it again.")
    return weight_map


def _read_json(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror or error}); check the disk.") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; download it again.")
    return content


def _check_class(path: Path, name: Any, known: tuple[str, ...]) -> None:
    if name not in known:
        raise CheckpointError(
            f"{path} says {name!r}, an architecture unknown to this program; choose a checkpoint of {', '.join(known)}."
        )
