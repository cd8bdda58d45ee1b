"""The diffusion transformer as its config describes it: constants, tensors, and the parts that are read by themselves.

Names are diffusers' (`Flux2Transformer2DModel`), of the config's keys as well as of the tensors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from flux2.architecture.config_reader import MAX_LAYERS, ConfigReader, check_class
from flux2.architecture.shapes import Shapes, repeated

CLASS = "Flux2Transformer2DModel"
MODULATIONS = (
    "double_stream_modulation_img",
    "double_stream_modulation_txt",
    "single_stream_modulation",
    "norm_out",
)
CONDITIONING_PARTS = ("time_guidance_embed", *MODULATIONS, "context_embedder")
"""Paths of what a run's conditioning uses, in order; the steps need none of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux2TransformerConfig:
    """The constants of transformer/config.json, under diffusers' names."""

    in_channels: int
    out_channels: int
    num_layers: int
    num_single_layers: int
    attention_head_dim: int
    num_attention_heads: int
    joint_attention_dim: int
    timestep_guidance_channels: int
    mlp_ratio: float
    axes_dims_rope: tuple[int, ...]
    rope_theta: float
    eps: float
    guidance_embeds: bool

    @property
    def width(self) -> int:
        """Features of a token inside the network."""
        return self.num_attention_heads * self.attention_head_dim

    @property
    def mlp_width(self) -> int:
        return int(self.width * self.mlp_ratio)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str = "transformer/config.json") -> Flux2TransformerConfig:
        """Read config.json; unknown keys are ignored, and defaults are diffusers'.

        The counts of layers and heads and the width of prompts have none here: diffusers' are Dev's, another network.

        Raises:
            CheckpointError: naming `file`, key and value of what is missing or makes no sense.
        """
        read = ConfigReader(values, file)
        check_class(file, values.get("_class_name"), (CLASS,))
        read.support_only("patch_size", 1)
        in_channels = read.integer("in_channels", 128)
        config = cls(
            in_channels=in_channels,
            out_channels=read.integer("out_channels") if read.has("out_channels") else in_channels,
            num_layers=read.integer("num_layers", maximum=MAX_LAYERS),
            num_single_layers=read.integer("num_single_layers", maximum=MAX_LAYERS),
            attention_head_dim=read.integer("attention_head_dim", 128, multiple_of=2),
            num_attention_heads=read.integer("num_attention_heads"),
            joint_attention_dim=read.integer("joint_attention_dim"),
            timestep_guidance_channels=read.integer("timestep_guidance_channels", 256, multiple_of=2),
            mlp_ratio=read.number("mlp_ratio", 3.0),
            axes_dims_rope=read.integers("axes_dims_rope", (32, 32, 32, 32), multiple_of=2),
            rope_theta=read.number("rope_theta", 2000),
            eps=read.number("eps", 1e-6),
            guidance_embeds=read.flag("guidance_embeds", True),
        )
        if len(config.axes_dims_rope) != 4 or sum(config.axes_dims_rope) != config.attention_head_dim:
            rule = f"its 4 values must sum to attention_head_dim, {config.attention_head_dim}"
            raise read.refuse("axes_dims_rope", rule)
        return config


def transformer_shapes(config: Flux2TransformerConfig) -> Shapes:
    """Names and shapes of all its tensors."""
    width, mlp, head_dim = config.width, config.mlp_width, config.attention_head_dim
    shapes: Shapes = {
        "x_embedder.weight": (width, config.in_channels),
        "context_embedder.weight": (width, config.joint_attention_dim),
        "double_stream_modulation_img.linear.weight": (6 * width, width),
        "double_stream_modulation_txt.linear.weight": (6 * width, width),
        "single_stream_modulation.linear.weight": (3 * width, width),
        "norm_out.linear.weight": (2 * width, width),
        "proj_out.weight": (config.out_channels, width),
    }
    for embedder in ("timestep_embedder", "guidance_embedder")[: 1 + config.guidance_embeds]:
        shapes[f"time_guidance_embed.{embedder}.linear_1.weight"] = (width, config.timestep_guidance_channels)
        shapes[f"time_guidance_embed.{embedder}.linear_2.weight"] = (width, width)

    double_block: Shapes = {
        f"attn.{name}.weight": (width, width)
        for name in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out")
    }
    for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
        double_block[f"attn.{name}.weight"] = (head_dim,)
    for name in ("ff", "ff_context"):
        double_block[f"{name}.linear_in.weight"] = (2 * mlp, width)
        double_block[f"{name}.linear_out.weight"] = (width, mlp)
    single_block: Shapes = {
        "attn.to_qkv_mlp_proj.weight": (3 * width + 2 * mlp, width),
        "attn.to_out.weight": (width, width + mlp),
        "attn.norm_q.weight": (head_dim,),
        "attn.norm_k.weight": (head_dim,),
    }
    shapes |= repeated("transformer_blocks", config.num_layers, double_block)
    return shapes | repeated("single_transformer_blocks", config.num_single_layers, single_block)


def multiplied_parts(name: str, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The parts of a weight that are multiplied with one after the other: nearly always all of it.

    A single block uses the rows that make q, k and v first, and those of its feed-forward then.
    """
    if not name.endswith("to_qkv_mlp_proj.weight"):
        return [shape]
    outputs, inputs = shape
    return [(3 * inputs, inputs), (outputs - 3 * inputs, inputs)]


def step_parts(config: Flux2TransformerConfig) -> list[str]:
    """Paths of the parts of the blocks that a step goes through, in order; each is read by itself where it streams."""
    double = [f"transformer_blocks.{number}" for number in range(config.num_layers)]
    single = [f"single_transformer_blocks.{number}" for number in range(config.num_single_layers)]
    return [f"{block}.{part}" for block in double for part in ("attn", "ff", "ff_context")] + single


def part_of(name: str, parts: Collection[str]) -> str:
    """The path, of these parts', of the one that a tensor belongs to; "" where it belongs to none."""
    steps = name.split(".")
    return next((path for end in range(1, len(steps)) if (path := ".".join(steps[:end])) in parts), "")
