"""What a user called a model that is none: what it is instead, as far as a look at the disk and at the words tells."""

from __future__ import annotations

import difflib
from pathlib import Path

from flux2.architecture.catalog import MODELS, is_repo_id
from flux2.architecture.model_names import read_name, repository_of, suggestion
from flux2.checkpoint.header import read_json_header
from flux2.errors import CheckpointError
from flux2.paths import expand
from flux2.store.local import exists

_FILE_ENDINGS = (".safetensors", ".gguf", ".ckpt", ".bin", ".pt", ".pth", ".sft")

_CONTENTS = (
    ("lora", "a LoRA"),
    ("double_stream_modulation_img.", "the transformer of a FLUX.2 model"),
    ("double_blocks.0.img_mod.", "the transformer of a FLUX.1 model"),
    ("transformer_blocks.0.", "a transformer"),
    ("decoder.conv_in.", "an autoencoder"),
    ("model.layers.0.", "a text encoder"),
)
"""What a single file of weights holds, by a part of a tensor's name."""


def why_no_model(model: str, wanted: str = "a model") -> str:
    """One sentence on why this is not a model, and what helps; "" where it may be a repository on the Hub.

    Args:
        model: what the user wrote.
        wanted: what it was to be, for people: "a model", "an autoencoder".
    """
    path = expand(model)
    if exists(path) and not path.is_dir():
        return _single_file(path, wanted)
    is_path = model.lower().endswith(_FILE_ENDINGS) or _is_path(model)
    if wanted != "a model" and (is_path or not is_repo_id(model)):
        return f"There is no autoencoder in {model!r}; name a folder with its config.json, or a repository."
    if is_path:
        return f"There is no file or folder {model}; {_alike(path)}"
    named = read_name(repository_of(model))
    other = named.family and not named.family.startswith("FLUX.2") and not named.base
    official = model.lower().startswith("black-forest-labs/")
    if other and (official or not is_repo_id(model)):
        return f"{model} is {named.family}, another architecture than FLUX.2's; choose {_choices()}."
    if is_repo_id(model):
        return ""
    if close := suggestion(model):
        return f"There is no model or folder {model!r}; did you mean {close}?"
    return f"There is no model or folder {model!r}; choose {_choices()}, or name a folder."


def _single_file(path: Path, wanted: str) -> str:
    if not path.is_file():
        return f"{path} is no file and no folder; choose {_choices()}, or name a folder."
    meant = suggestion(path.name)
    instead = f"--model {meant}" if meant else f"one of {_choices()}"
    if wanted != "a model":
        instead = "a folder or Hub repository of one, with its config.json"
    contents = f" with {what}" if (what := _contents(path)) else ""
    return f"{path} is a single file{contents}, where {wanted} of the Hub or in a folder is wanted; use {instead}."


def _contents(path: Path) -> str:
    """What a file of weights holds, by the names in its header; "" for a file of something else."""
    if path.suffix.lower() == ".gguf":
        return "a network in the format of llama.cpp"
    try:
        names = list(read_json_header(path).entries)
    except CheckpointError:
        return ""
    for part, what in _CONTENTS:
        if any(part in name for name in names):
            return what
    return "weights"


def _is_path(model: str) -> bool:
    """Whether a user who writes so means a place on this disk: no repository's owner is a folder here."""
    if model.startswith(("/", ".", "~", "\\")) or "\\" in model or model.count("/") > 1:
        return True
    first, slash, _ = model.partition("/")
    return bool(slash) and exists(Path(first))


def _alike(path: Path) -> str:
    """What to do about a path that leads nowhere: take a name beside it that is like it, else another model."""
    there = next((folder for folder in path.parents if exists(folder) and folder.is_dir()), Path())
    if there == path.parent:
        try:
            names = [entry.name for entry in there.iterdir()]
        except OSError:
            names = []
        if close := difflib.get_close_matches(path.name, names, n=1):
            return f"did you mean {there / close[0]}?"
    return f"choose {_choices()}, or name a folder in the diffusers layout."


def _choices() -> str:
    return ", ".join(MODELS)
