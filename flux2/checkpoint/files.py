"""Which files make a checkpoint in the diffusers layout, and which of them a folder lacks. Needs no MLX.

model_index.json   transformer/  vae/  text_encoder/  tokenizer/  scheduler/
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.architecture import autoencoder, transformer
from flux2.architecture.config_reader import check_class
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.errors import CheckpointError

INDEX_FILE = "model_index.json"
SYNTHETIC_MARKER = "synthetic.json"
"""By which a checkpoint is recognised whose weights are holes on purpose (`flux2.bench.synthetic`)."""
PIPELINES = ("Flux2KleinPipeline", "Flux2Pipeline")


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
            classes=(transformer.CLASS,),
            weights="diffusion_pytorch_model",
        ),
        Part(
            folder="vae",
            config="config.json",
            class_key="_class_name",
            classes=(autoencoder.CLASS,),
            weights="diffusion_pytorch_model",
        ),
        Part(
            folder="text_encoder",
            config="config.json",
            class_key="architectures",
            classes=tuple(TEXT_ENCODERS),
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

NEEDED_FILES = (
    INDEX_FILE,
    f"{TOKENIZER}/*",
    *(f"{part.folder}/*.json" for part in PARTS.values()),
    *(f"{part.folder}/*.safetensors" for part in PARTS.values() if part.weights),
)
"""Of a Hub repository; the same weights often lie at its top once more as a single file, which nobody here reads."""

VAE_FILES = tuple(
    f"{place}{name}"
    for place in ("", "vae/")
    for name in ("config.json", "diffusion_pytorch_model*.safetensors", "diffusion_pytorch_model*.json")
)
"""Of a Hub repository that is an autoencoder, or has one in its vae/ folder."""


def read_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says; enough to tell whether the rest is worth downloading.

    Raises:
        CheckpointError: if it is missing, damaged, or of a pipeline this program can't run.
    """
    index = read_json(folder / INDEX_FILE, "is this a checkpoint in the diffusers layout?")
    check_class(folder / INDEX_FILE, index.get("_class_name"), PIPELINES)
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
            needed += weight_files(folder / part.folder, part.weights)
    return next((path for path in needed if not path.exists()), None)


def weight_files(folder: Path, stem: str) -> list[Path]:
    """The shards that `stem`.safetensors.index.json lists, else the single file."""
    return sorted(folder / name for name in {*weight_map(folder, stem).values()} or {f"{stem}.safetensors"})


def weight_map(folder: Path, stem: str) -> dict[str, str]:
    """Which shard holds which tensor; empty where there is a single file."""
    index = folder / f"{stem}.safetensors.index.json"
    if not index.is_file():
        return {}
    shards = read_json(index, "download it again.").get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise CheckpointError(f"{index} has no weight_map; download it again.")
    for shard in shards.values():
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise CheckpointError(f"{index} points outside its folder, to {shard!r}; download it again.")
    return shards


def read_json(path: Path, remedy: str = "download the checkpoint again.") -> dict[str, Any]:
    """A config file's object. Raises CheckpointError, with the remedy where the file is missing."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; {remedy}") from error
    except OSError as error:
        raise CheckpointError(f"{path} can't be read ({error.strerror or error}); check the disk.") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not valid JSON ({error}); download it again.") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} is not a JSON object; download it again.")
    return content


def read_length(path: Path, value: Any) -> int:
    """A tokenizer config's `model_max_length`, which may be null or 1e30. Raises CheckpointError if it is no length."""
    if value is None:
        return sys.maxsize
    if not isinstance(value, int | float) or not value >= 1:
        raise CheckpointError(f"{path} says model_max_length {value!r:.40}, no length; download the checkpoint again.")
    return int(min(value, sys.maxsize))
