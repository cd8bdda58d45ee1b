"""What a LoRA that does not fit was made for, as its names and sizes tell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache

from flux2.architecture.catalog import MODELS
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.shapes import Shapes
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes
from flux2.lora.names import find_module
from flux2.lora.rows import Matrix, fits

_SIGNS = (
    # Part of a name, with every dot an underscore, and whose it is; the first that is found.
    ("distilled_guidance_layer", "Chroma"),
    ("txt_attn_qkv", "HunyuanVideo"),
    ("individual_token_refiner", "HunyuanVideo"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("norm1_context", "FLUX.1 or Stable Diffusion 3"),
    ("img_mod_lin", "FLUX.1"),
    ("txt_mod_lin", "FLUX.1"),
    ("modulation_lin", "FLUX.1"),
    ("time_text_embed", "FLUX.1"),
    ("vector_in", "FLUX.1"),
    ("proj_mlp", "FLUX.1"),
    ("ff_net_0", "FLUX.1"),
    ("ff_context_net", "FLUX.1"),
    ("img_mlp_net", "Qwen-Image"),
    ("img_mod_1", "Qwen-Image"),
    ("cross_attn_k_img", "Wan"),
    ("self_attn_norm_q", "Wan"),
    ("blocks_0_self_attn", "Wan"),
    ("blocks_0_cross_attn", "Wan"),
    ("feed_forward_w1", "Z-Image or Lumina"),
    ("noise_refiner", "Z-Image or Lumina"),
    ("adaln_single", "LTX-Video or PixArt"),
    ("down_blocks_", "Stable Diffusion"),
    ("up_blocks_", "Stable Diffusion"),
    ("input_blocks_", "Stable Diffusion"),
    ("output_blocks_", "Stable Diffusion"),
    ("mid_block_", "Stable Diffusion"),
    ("middle_block_", "Stable Diffusion"),
)
_FLUX1 = "FLUX.1"
_FLUX1_WIDTH, _FLUX1_BLOCKS = 3072, 19
"""FLUX.1 is as wide as FLUX.2 Klein 4B, and has more double-stream blocks."""
_FLUX1_ROWS = {"ff.linear_in": 4, "ff_context.linear_in": 4, "attn.to_qkv_mlp_proj": 7}
"""Outputs of FLUX.1's matrices as so many times the width: FLUX.2 has 6 and 9 times as many."""


def made_for(sizes: Mapping[str, Matrix], strangers: Iterable[str] = ()) -> str:
    """The model, for people; "" where nothing tells.

    Args:
        sizes: outputs and inputs of each of the file's modules, by its name.
        strangers: names of what FLUX.2 does not have.
    """
    plain = [name.replace(".", "_") for name in strangers]
    if found := next((whose for sign, whose in _SIGNS if any(sign in name for name in plain)), ""):
        return found
    if plain:
        return ""
    if _is_flux1(sizes):
        return _FLUX1
    for name, shapes in _published().items():
        if all(fits(find_module(module) or (), size, shapes) for module, size in sizes.items()):
            return f"{MODELS[name].title} (width {shapes['x_embedder.weight'][0]:,})"
    width = _width(sizes)
    return f"a transformer of width {width:,}" if width else ""


def misfit(name: str, origin: str, example: str, config: Flux2TransformerConfig, model: str) -> str:
    """One sentence on a file whose names are FLUX.2's and whose sizes are not this model's.

    Args:
        origin: what it was made for, as `made_for` says.
        example: one of its modules that does not fit.
    """
    size = f"{config.num_layers} + {config.num_single_layers} blocks of width {config.width:,}"
    if not origin or origin.endswith(f"width {config.width:,}"):
        return f"{name} changes {example}, which {model} has not, or not so ({size}); use a LoRA made for {model}."
    return f"{name} was made for {origin}, and {model} has {size}; use a LoRA made for {model}."


def _is_flux1(sizes: Mapping[str, Matrix]) -> bool:
    for name, (outputs, inputs) in sizes.items():
        for place in find_module(name) or ():
            inside = place.path.split(".", 2)[-1]
            if inside in _FLUX1_ROWS and not place.part and outputs == _FLUX1_ROWS[inside] * inputs:
                return True
    numbers = [
        int(place.path.split(".")[1]) for name in sizes for place in find_module(name) or () if _is_double(place.path)
    ]
    beyond = max(numbers, default=0)
    return _width(sizes) == _FLUX1_WIDTH and _klein_blocks() <= beyond < _FLUX1_BLOCKS


def _is_double(path: str) -> bool:
    return path.startswith("transformer_blocks.")


def _klein_blocks() -> int:
    return int(ARCHITECTURES["klein-4b"].transformer["num_layers"])


def _width(sizes: Mapping[str, Matrix]) -> int:
    """Inputs of a module that all FLUX.2 models have as many of as features; 0 where there is none."""
    for name, (_, inputs) in sizes.items():
        for place in find_module(name) or ():
            if place.path.split(".", 2)[-1] in _AS_WIDE:
                return inputs
    return 0


_AS_WIDE = (
    *(f"attn.{name}" for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj")),
    "attn.to_add_out",
    "attn.to_qkv_mlp_proj",
    "ff.linear_in",
    "ff_context.linear_in",
    "double_stream_modulation_img.linear",
    "single_stream_modulation.linear",
)


@lru_cache(maxsize=1)
def _published() -> dict[str, Shapes]:
    configs = {name: Flux2TransformerConfig.from_dict(known.transformer) for name, known in ARCHITECTURES.items()}
    return {name: transformer_shapes(config) for name, config in configs.items()}
