"""Which files make a checkpoint in the diffusers layout, and which of them a folder lacks. Needs no MLX.

model_index.json   transformer/  vae/  text_encoder/  tokenizer/  scheduler/
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.architecture import autoencoder, transformer
from flux2.architecture.config_reader import check_class
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.checkpoint.header import is_whole
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.missing import what_lies_here
from flux2.checkpoint.remedies import fetch_anew
from flux2.checkpoint.tokenizer_files import TOKENIZER_FILE, check_tokenizer
from flux2.checkpoint.weight_files import find_weights, missing_weights
from flux2.errors import CheckpointError

INDEX_FILE = "model_index.json"
SYNTHETIC_MARKER = "synthetic.json"
"""File by which a checkpoint is recognised whose weights are holes on purpose (`flux2.bench.synthetic`)."""
PIPELINES = ("Flux2KleinPipeline", "Flux2KleinKVPipeline", "Flux2Pipeline")


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


CHECKPOINT_PARTS = {
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
    *(f"{part.folder}/*.json" for part in CHECKPOINT_PARTS.values()),
    *(f"{part.folder}/*.safetensors" for part in CHECKPOINT_PARTS.values() if part.weights),
)
"""Patterns of the files taken from a Hub repository; what lies at its top, often the same weights, is not read."""


def files_without(parts: Collection[str]) -> tuple[str, ...]:
    """`NEEDED_FILES` but the weights of some parts."""
    left_out = {f"{part}/*.safetensors" for part in parts}
    return tuple(pattern for pattern in NEEDED_FILES if pattern not in left_out)


VAE_FILES = tuple(
    f"{place}{name}"
    for place in ("", "vae/")
    for name in ("config.json", "diffusion_pytorch_model*.safetensors", "diffusion_pytorch_model*.json")
)
"""Names of files taken from a Hub repository that is an autoencoder, or has one in its vae/ folder."""


def read_index(folder: Path) -> dict[str, Any]:
    """What model_index.json says; enough to tell whether the rest is worth downloading.

    Raises:
        CheckpointError: if it is missing, damaged, or of a pipeline this program can't run.
    """
    index = read_json(folder / INDEX_FILE, what_lies_here(folder))
    check_class(folder / INDEX_FILE, index.get("_class_name"), PIPELINES)
    return index


def missing_file(folder: Path, without: Collection[str] = ()) -> Path | None:
    """The first file that a complete checkpoint would have here and this one has not, or has cut short or damaged.

    Args:
        without: names of folders whose content does not matter.
    """
    if not _is_json(folder / INDEX_FILE):
        return folder / INDEX_FILE
    try:
        if TOKENIZER not in without:
            check_tokenizer(folder / TOKENIZER)
    except CheckpointError:
        return folder / TOKENIZER / TOKENIZER_FILE
    for part in CHECKPOINT_PARTS.values():
        if part.folder in without:
            continue
        place = folder / part.folder
        if not _is_json(place / part.config):
            return place / part.config
        if part.weights and (missing := missing_from(place, part.weights)):
            return missing
    return None


def missing_from(folder: Path, stem: str) -> Path | None:
    """The first file of a part's weights that is not here, or is cut short; their index, where that is damaged."""
    try:
        weights = find_weights(folder, stem)
        if weights is None:
            return missing_weights(folder, stem)
    except CheckpointError:
        return folder / f"{stem}.safetensors.index.json"
    return next((path for path in weights.files if not is_whole(path)), None)


def _is_json(path: Path) -> bool:
    try:
        return bool(read_json(path))
    except CheckpointError:
        return False


def read_length(path: Path, value: Any) -> int:
    """A tokenizer config's `model_max_length`, which may be null or 1e30. Raises CheckpointError if it is no length."""
    if value is None:
        return sys.maxsize
    if not isinstance(value, int | float) or not value >= 1:
        raise CheckpointError(f"{path} says model_max_length {value!r:.40}, no length; {fetch_anew(path)}.")
    return int(min(value, sys.maxsize))
