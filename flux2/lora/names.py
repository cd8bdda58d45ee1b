"""The names under which LoRA files have the transformer's matrices: every program's, in one table that is looked up.

A name is what stands before `.lora_A.weight` or the like. It is never taken apart: the model's own names are written in
each of the ways that trainers write them (with dots or, as kohya and LyCORIS, with underscores; diffusers' or BFL's;
with q, k and v in one matrix or by themselves), and what is in a file is one of these, or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from flux2.architecture.bfl_names import bfl_transformer_place
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes

MOST_BLOCKS = 128
"""Blocks of either kind that are told apart by number; the largest published model has 8 and 48."""


class Place(NamedTuple):
    """A matrix of the model that a module of a file changes, or one of several."""

    path: str
    third: int | None = None
    """Which third of the module's rows it gets, 0 to 2; None for all of them."""
    halves_swapped: bool = False
    """Whether the module has the halves of its rows the other way round."""
    part: str = ""
    """Which rows of the matrix the module is, where it is not all of them: "q", "k", "v", "qkv" or "mlp"."""


Module = tuple[Place, ...]

PREFIXES = (
    "base_model.model.",
    "model.diffusion_model.",
    "diffusion_model.",
    "transformer.",
    "model.",
    "unet.",
    "lora_unet_",
    "lora_transformer_",
    "lycoris_",
)
"""What stands before a matrix' name, any number of them."""

TEXT_ENCODER_PREFIXES = (
    "lora_te",
    "lora_llm",
    "lora_qwen",
    "lora_mistral",
    "lycoris_te",
    "text_encoder",
    "text_encoders.",
    "te.",
    "te1.",
    "llm_adapter.",
    "cond_stage_model.",
)
"""What names of a text encoder's matrices begin with, whatever comes then."""

_FUSED = {"attn.to_qkv": "img_attn.qkv", "attn.to_added_qkv": "txt_attn.qkv"}
"""diffusers' names for q, k and v in one (`fuse_qkv_projections`), by BFL's inside a block."""
_OTHER_SPELLINGS = (
    ("transformer_blocks.", "sformer_blocks."),  # of ComfyUI exports that took `tran` for a prefix
    (".attn.to_out.0", ".attn.to_out"),  # mflux, which has no list there
    ("time_guidance_embed.timestep_embedder.", "time_guidance_embed."),
)
_PARTS = ("q", "k", "v", "mlp")
"""Parts of a single block's first matrix, in the order of its rows."""


def find_module(name: str) -> Module | None:
    """What a module of this name in a file changes; None if no FLUX.2 transformer has such a thing."""
    known = _known_modules()
    while name not in known:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            return None
        name = name.removeprefix(prefix)
    return known[name]


def is_of_text_encoder(name: str) -> bool:
    """Whether this is the name of something of a text encoder, which FLUX.2's LoRAs need not have."""
    return name.removeprefix("base_model.model.").startswith(TEXT_ENCODER_PREFIXES)


@lru_cache(maxsize=1)
def _known_modules() -> dict[str, Module]:
    modules: dict[str, Module] = {}
    for path in _matrices():
        for name, place in _spellings(path):
            modules[name] = (*modules.get(name, ()), place)
    return modules | {name.replace(".", "_"): module for name, module in modules.items()}


def _matrices() -> Iterator[str]:
    """Paths of the matrices of a transformer with so many blocks that none has more."""
    largest = Flux2TransformerConfig.from_dict(
        {
            "_class_name": "Flux2Transformer2DModel",
            "num_layers": MOST_BLOCKS,
            "num_single_layers": MOST_BLOCKS,
            "num_attention_heads": 1,
            "joint_attention_dim": 1,
        }
    )
    for name, shape in transformer_shapes(largest).items():
        if len(shape) == 2:
            yield name.removesuffix(".weight")


def _spellings(path: str) -> Iterator[tuple[str, Place]]:
    """Every name with dots that a matrix, or a part of it, has; and of what it is a part under that name."""
    yield path, Place(path)
    for ours, theirs in _OTHER_SPELLINGS:
        if ours in path and not path.startswith("single_"):
            yield path.replace(ours, theirs), Place(path)
    place = bfl_transformer_place(path)
    bfl = place.name
    yield bfl, Place(path, place.third, place.halves_swapped)
    if place.third is not None:
        yield f"{bfl}.{place.third}", Place(path)
        for fused, inside in _FUSED.items():
            if bfl.endswith(inside):
                block, number, _ = path.split(".", 2)
                yield f"{block}.{number}.{fused}", Place(path, place.third)
    if path.endswith("to_qkv_mlp_proj"):
        for index, part in enumerate(_PARTS):
            yield f"{bfl}.{index}", Place(path, part=part)
        yield f"{bfl}_qkv", Place(path, part="qkv")
