"""LoRA files in the layouts that trainers and converters write, all made of one set of changes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import save_file

from flux2.architecture.bfl_names import bfl_transformer_place

RANK = 4
Arrays = dict[str, np.ndarray]
Changes = dict[str, tuple[np.ndarray, np.ndarray]]
"""Factors A [rank, inputs] and B [outputs, rank] of each matrix' change, by diffusers' name of it."""


class LoraContent(NamedTuple):
    tensors: Arrays
    metadata: dict[str, str] | None = None
    config: dict[str, object] | None = None
    """What peft's file beside it says."""


def some_changes(shapes: Mapping[str, tuple[int, ...]]) -> Changes:
    """Random factors for every matrix; q, k and v of a block share A, as those that BFL has in one do."""
    random = np.random.default_rng(7)
    shared: dict[tuple[str, int], np.ndarray] = {}
    changes = {}
    for name, shape in shapes.items():
        if len(shape) != 2:
            continue
        path = name.removesuffix(".weight")
        key = (bfl_transformer_place(path).name, shape[1])
        a = shared.setdefault(key, random.standard_normal((RANK, shape[1]), dtype=np.float32) * 0.1)
        changes[path] = (a, random.standard_normal((shape[0], RANK), dtype=np.float32) * 0.1)
    return changes


def written_out(changes: Changes) -> Arrays:
    """What is added to each matrix."""
    return {path: b @ a for path, (a, b) in changes.items()}


def save_lora(path: Path, content: LoraContent) -> Path:
    save_file({name: np.ascontiguousarray(array) for name, array in content.tensors.items()}, path, content.metadata)
    if content.config:
        (path.parent / "adapter_config.json").write_text(json.dumps(content.config))
    return path


def as_bfl(changes: Changes) -> Changes:
    """Changes under BFL's names: q, k and v in one, the last modulation's halves the other way round."""
    rows: dict[str, list[np.ndarray]] = {}
    found: Changes = {}
    for path, (a, b) in changes.items():
        place = bfl_transformer_place(path)
        b = np.concatenate(np.split(b, 2)[::-1]) if place.halves_swapped else b
        rows.setdefault(place.name, []).append(b)
        found[place.name] = (a, np.concatenate(rows[place.name]))
    return found


def pairs(
    changes: Changes, prefix: str = "", down: str = ".lora_A.weight", up: str = ".lora_B.weight", dots: str = "."
) -> Arrays:
    tensors = {}
    for path, (a, b) in changes.items():
        name = prefix + path.replace(".", dots)
        tensors[name + down], tensors[name + up] = a, b
    return tensors


def with_alpha(
    changes: Changes, prefix: str = "", *, down: str = "lora_down", up: str = "lora_up", dots: str = "."
) -> Arrays:
    """Tensors as of `pairs`, with alpha twice the rank and B half as large."""
    halved = {path: (a, b / 2) for path, (a, b) in changes.items()}
    alphas = {f"{prefix}{path.replace('.', dots)}.alpha": np.float32(2 * len(a)) for path, (a, _) in changes.items()}
    return pairs(halved, prefix, f".{down}.weight", f".{up}.weight", dots) | {k: np.array(v) for k, v in alphas.items()}


def block_diagonal(changes: Changes) -> Changes:
    """BFL's names, and q, k and v with an A of their own, below each other."""
    found = as_bfl(changes)
    for name in [name for name in found if name.endswith(".qkv")]:
        mine = [change for path, change in changes.items() if bfl_transformer_place(path).name == name]
        b = np.zeros((sum(len(b) for _, b in mine), RANK * len(mine)), np.float32)
        for number, (_, part) in enumerate(mine):
            b[number * len(part) : (number + 1) * len(part), number * RANK : (number + 1) * RANK] = part
        found[name] = (np.concatenate([a for a, _ in mine]), b)
    return found


def in_parts(changes: Changes, linear1: Callable[[str, int], str]) -> Changes:
    """BFL's names, and the parts of q, k, v and the feed-forward by themselves."""
    found: Changes = {}
    for path, (a, b) in changes.items():
        place = bfl_transformer_place(path)
        if place.third is not None:
            found[f"{place.name}.{place.third}"] = (a, b)
        elif place.name.endswith("linear1"):
            width = a.shape[1]
            for number, part in enumerate(np.split(b, [width, 2 * width, 3 * width])):
                name = linear1(place.name, number)
                found[name] = (a, np.concatenate([found[name][1], part]) if name in found else part)
        else:
            found |= as_bfl({path: (a, b)})
    return found


def spelled(changes: Changes, *replaced: tuple[str, str]) -> Changes:
    found = {}
    for path, change in changes.items():
        for old, new in replaced:
            path = path if path.startswith("single_") else path.replace(old, new)
        found[path] = change
    return found


def fused(changes: Changes) -> Changes:
    """diffusers' names after `fuse_qkv_projections`."""
    names = {"img_attn.qkv": "attn.to_qkv", "txt_attn.qkv": "attn.to_added_qkv"}
    found: Changes = {}
    for path, (a, b) in changes.items():
        place = bfl_transformer_place(path)
        if place.third is None:
            found[path] = (a, b)
        else:
            block, number, *inside = place.name.split(".")
            name = f"transformer_{block.removeprefix('double_')}.{number}.{names['.'.join(inside)]}"
            found[name] = (a, np.concatenate([found[name][1], b]) if name in found else b)
    return found


def peft(changes: Changes, **config: object) -> dict[str, str]:
    del changes
    return {"lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})}


def halved(changes: Changes, factor: float = 2) -> Changes:
    return {path: (a, b / np.float32(factor)) for path, (a, b) in changes.items()}


def pattern(changes: Changes) -> LoraContent:
    """peft's config gives one matrix an alpha of its own."""
    first = next(iter(changes))
    scaled = {path: (a, b / (4 if path == first else 2)) for path, (a, b) in changes.items()}
    said = peft(changes, r=RANK, lora_alpha=2 * RANK, alpha_pattern={first: 4 * RANK})
    return LoraContent(pairs(scaled, "transformer."), said)


def as_convolutions(tensors: Arrays) -> Arrays:
    return {name: array[:, :, None, None] if array.ndim == 2 else array for name, array in tensors.items()}


def text_encoder(prefix: str) -> Arrays:
    return {f"{prefix}.lora_down.weight": np.ones((2, 4), np.float32), f"{prefix}.alpha": np.array(np.float32(1))}


KOHYA = {"prefix": "lora_unet_", "dots": "_"}
LAYOUTS: dict[str, Callable[[Changes], LoraContent]] = {
    "diffusers": lambda c: LoraContent(pairs(c, "transformer.")),
    "diffusers, alpha in metadata": lambda c: LoraContent(
        pairs(halved(c), "transformer."), peft(c, r=RANK, lora_alpha=2 * RANK)
    ),
    "diffusers, alpha of one matrix in metadata": pattern,
    "diffusers, rank-stabilized": lambda c: LoraContent(
        pairs(halved(c, RANK**0.5), "transformer."), peft(c, r=RANK, lora_alpha=RANK, use_rslora=True)
    ),
    "diffusers, alpha tensors": lambda c: LoraContent(with_alpha(c, "transformer.", down="lora_A", up="lora_B")),
    "diffusers, down and up": lambda c: LoraContent(with_alpha(c, "transformer.")),
    "diffusers, adapter's name in the key": lambda c: LoraContent(
        pairs(c, "transformer.", ".lora_A.default.weight", ".lora_B.default.weight")
    ),
    "diffusers, fused": lambda c: LoraContent(pairs(fused(c), "transformer.")),
    "diffusers, old": lambda c: LoraContent(pairs(c, "transformer.", ".lora.down.weight", ".lora.up.weight")),
    "diffusers, older": lambda c: LoraContent(
        pairs(c, "", ".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight")
    ),
    "mflux": lambda c: LoraContent(
        pairs(spelled(c, (".to_out.0", ".to_out"), ("timestep_embedder.", "")), "transformer.")
    ),
    "no prefix": lambda c: LoraContent(pairs(c)),
    "no prefix, BFL": lambda c: LoraContent(pairs(as_bfl(c))),
    "ai-toolkit": lambda c: LoraContent(pairs(as_bfl(c), "diffusion_model.")),
    "ai-toolkit, block-diagonal": lambda c: LoraContent(pairs(block_diagonal(c), "diffusion_model.")),
    "ai-toolkit, alpha": lambda c: LoraContent(with_alpha(as_bfl(c), "diffusion_model.", down="lora_A", up="lora_B")),
    "ComfyUI, down and up": lambda c: LoraContent(with_alpha(as_bfl(c), "diffusion_model.")),
    "ComfyUI, longer prefix": lambda c: LoraContent(pairs(as_bfl(c), "model.diffusion_model.")),
    "ComfyUI, diffusers' names": lambda c: LoraContent(pairs(c, "diffusion_model.")),
    "ComfyUI, sformer_blocks": lambda c: LoraContent(
        pairs(spelled(c, ("transformer_blocks.", "sformer_blocks.")), "diffusion_model.")
    ),
    "ComfyUI, q k v of linear1": lambda c: LoraContent(
        pairs(in_parts(c, lambda name, part: f"{name}_qkv" if part < 3 else f"{name}.3"), "diffusion_model.")
    ),
    "peft": lambda c: LoraContent(pairs(c, "base_model.model.")),
    "peft, BFL": lambda c: LoraContent(pairs(as_bfl(c), "base_model.model.")),
    "peft, config beside it": lambda c: LoraContent(
        pairs(halved(c), "base_model.model."), config={"r": RANK, "lora_alpha": 2 * RANK}
    ),
    "kohya": lambda c: LoraContent(with_alpha(as_bfl(c), **KOHYA)),
    "kohya, block-diagonal": lambda c: LoraContent(with_alpha(block_diagonal(c), **KOHYA)),
    "kohya, diffusers' names": lambda c: LoraContent(with_alpha(c, **KOHYA)),
    "kohya, as convolutions": lambda c: LoraContent(as_convolutions(with_alpha(as_bfl(c), **KOHYA))),
    "kohya, with a text encoder": lambda c: LoraContent(
        with_alpha(as_bfl(c), **KOHYA) | text_encoder("lora_te1_layers_0_q")
    ),
    "with a text encoder": lambda c: LoraContent(
        pairs(as_bfl(c), "diffusion_model.") | text_encoder("text_encoders.qwen3.layers.0.q")
    ),
    "OneTrainer": lambda c: LoraContent(with_alpha(c, "lora_transformer_", dots="_")),
    "OneTrainer, in parts": lambda c: LoraContent(
        with_alpha(in_parts(c, lambda name, part: f"{name}.{part}"), "transformer.")
    ),
    "LyCORIS": lambda c: LoraContent(with_alpha(c, "lycoris_", dots="_")),
    "written out": lambda c: LoraContent({f"diffusion_model.{path}.diff": b @ a for path, (a, b) in as_bfl(c).items()}),
}
"""What is in a file that makes these changes, by who writes it so."""


def split_by_bfl(changes: Mapping[str, np.ndarray], paths: Iterable[str]) -> Arrays:
    """What changes of BFL's matrices are of the model's."""
    found = {}
    for path in paths:
        place = bfl_transformer_place(path)
        if place.name not in changes:
            continue
        whole = changes[place.name]
        if place.third is not None:
            whole = np.split(whole, 3)[place.third]
        found[path] = np.concatenate(np.split(whole, 2)[::-1]) if place.halves_swapped else whole
    return found
