"""Why a file of a checkpoint is not where it has to be: told by what lies there instead, with the remedy that helps."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flux2.checkpoint.remedies import complete

_FEW = 4  # names that a sentence lists

_OTHER_FORMATS = {
    ".bin": "PyTorch's older format, which can run code when it is read and is never opened here",
    ".pt": "PyTorch's older format, which can run code when it is read and is never opened here",
    ".pth": "PyTorch's older format, which can run code when it is read and is never opened here",
    ".ckpt": "PyTorch's older format, which can run code when it is read and is never opened here",
    ".gguf": "the format of llama.cpp",
    ".msgpack": "Flax's format",
    ".h5": "TensorFlow's format",
    ".onnx": "ONNX",
    ".npz": "NumPy's format",
}
"""Formats of weights that are not read here, by the ending of their files' names."""
_SAVE_ANEW = "use the model's safetensors files, or save it anew in that format (save_pretrained of diffusers)"
_UNFINISHED = (".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2", ".tmp")
"""Endings of what downloads leave that were broken off."""


def explain_missing(path: Path, stem: str = "") -> str:
    """One sentence on a file that is not there.

    Args:
        path: the file.
        stem: beginning of the names of the weights that it is one of; "" for another file.
    """
    folder = path.parent
    if path.is_symlink() and not path.exists():
        return f"{path} is a link to {path.readlink()}, which is gone; {complete(path)}."
    if path.exists():
        return f"{path} is no file; put the file of this name there."
    if not folder.is_dir():
        what = f"{folder} is no folder" if folder.exists() else f"{folder} is missing"
        return f"{what}; {complete(path)}."
    names = sorted(entry.name for entry in folder.iterdir())
    if unfinished := _unfinished(path, names):
        return f"{path} is missing: its download was not finished ({unfinished} is there); {_go_on(path)}."
    what, remedy = other_forms(names, stem) if stem else ("", "")
    if what:
        return f"{path} is missing; there is {what}; {remedy}."
    return f"{path} is missing; {complete(path)}."


def what_lies_here(folder: Path) -> str:
    """What a folder without model_index.json is, and the remedy; to end a sentence with."""
    names = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return "name a folder in the diffusers layout, a Hub repository, or a model that `flux2 models` lists."
    singles = [name for name in names if name.endswith((".safetensors", ".gguf", ".ckpt"))]
    if {"transformer", "vae", "text_encoder"} <= set(names):
        if (folder / "transformer" / "config.json").exists():
            return f"{complete(folder / 'model_index.json')}."
        return "it is not in the diffusers layout, for its parts have no config.json: use the model itself."
    if inner := [name for name in names if (folder / name / "model_index.json").is_file()]:
        return f"name the folder within it that has one: {_some(inner)}."
    if "config.json" in names and singles:
        return "it is one part of a model (its config.json says which): name the folder of the whole model."
    if singles:
        return f"it holds single files ({_some(singles)}): name one of them."
    return "this is no checkpoint in the diffusers layout: name its folder, or a model that `flux2 models` lists."


def _unfinished(path: Path, names: list[str]) -> str:
    """Name of what a broken-off download of this file left; "" where there is none."""
    beside = [name for name in names if name.startswith(path.name) and name.endswith(_UNFINISHED)]
    hub = path.parents[1] / ".cache" / "huggingface" / "download" / path.parent.name
    if not beside and hub.is_dir():
        beside = sorted(f".cache/…/{entry.name}" for entry in hub.iterdir() if entry.name.endswith(".incomplete"))
    return beside[0] if beside else ""


def _go_on(path: Path) -> str:
    if (path.parents[1] / ".cache" / "huggingface" / "download").is_dir():
        return f"`hf download` with the same --local-dir {path.parents[1]} goes on with it"
    return complete(path)


def other_forms(names: Collection[str], stem: str) -> tuple[str, str]:
    """Weights among the names of a folder in another form than is read: which and why, and what helps; "" for none."""
    weights = sorted(name for name in names if name.endswith(".safetensors"))
    if variants := [name for name in weights if name.startswith(f"{stem}.")]:
        return f"{_some(variants)}, a variant that is not read here", "use bfloat16, float16 or float32 files"
    if shards := [name for name in weights if name.startswith(f"{stem}-")]:
        total = shards[0].partition("-of-")[2].partition(".")[0].lstrip("0")
        return f"only {len(shards)} of {total or '?'} shards ({_some(shards)})", "copy the others there, too"
    for ending, format_name in _OTHER_FORMATS.items():
        if found := sorted(name for name in names if name.endswith(ending)):
            return f"{_some(found)} in {format_name}", _SAVE_ANEW
    if weights:
        return _some(weights), "rename it if it holds these weights under diffusers' names"
    return "", ""


def _some(names: list[str]) -> str:
    rest = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + rest
