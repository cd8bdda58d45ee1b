"""Names of Black Forest Labs' files, ComfyUI's and GGUF's, for the tensors that this program knows by diffusers' names.

The only table of both: whoever reads foreign weights asks for each tensor or matrix of the model where it lies there,
so that no foreign name is ever taken apart. Where diffusers has three matrices BFL has one with their rows below each
other, and the last modulation has its halves the other way round.
Source: https://github.com/black-forest-labs/flux2, `model.py` and `autoencoder.py`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BflPlace:
    """Where a tensor or a matrix of the model lies among BFL's."""

    name: str
    third: int | None = None
    """Which third of its rows it is, 0 to 2; None where it is all of them."""
    halves_swapped: bool = False
    """Whether the upper half of its rows is the model's lower one: shift and scale, where diffusers has scale first."""


def bfl_transformer_place(name: str) -> BflPlace:
    """The place of a transformer's tensor (`x_embedder.weight`) or matrix (`x_embedder`); its suffix stays.

    Norms are `.scale` in BFL's own files and `.weight` in some: the first is given.

    Raises:
        KeyError: if the model has nothing of this name.
    """
    path, suffix = _without_suffix(name)
    block, number, inside = _block_of(path)
    found = _TRANSFORMER[block][inside]
    place = found if isinstance(found, BflPlace) else BflPlace(found)
    bfl_block = _BLOCKS.get(block, "")
    full = f"{bfl_block}.{number}.{place.name}" if bfl_block else place.name
    if suffix and inside.rpartition(".")[2].startswith("norm_"):
        suffix = ".scale"
    return BflPlace(full + suffix, place.third, place.halves_swapped)


def bfl_autoencoder_name(name: str, levels: int) -> str:
    """The name of an autoencoder's tensor or matrix; its suffix stays.

    BFL's attention has 1×1 convolutions, [C, C, 1, 1], where diffusers has matrices, [C, C].

    Args:
        levels: resolutions that the autoencoder has; its decoder's blocks are counted from the other end.

    Raises:
        KeyError: if an autoencoder has nothing of this name.
    """
    path, suffix = _without_suffix(name)
    if path in _AUTOENCODER_TOP:
        return _AUTOENCODER_TOP[path] + suffix
    half, _, inside = path.partition(".")
    if half not in ("encoder", "decoder"):
        raise KeyError(name)
    return f"{half}.{_inside_half(inside.split('.'), levels)}{suffix}"


def _inside_half(steps: list[str], levels: int) -> str:
    """The name of what lies in the encoder or the decoder."""
    match steps:
        case ["down_blocks", level, "downsamplers", "0", "conv"]:
            return f"down.{level}.downsample.conv"
        case ["up_blocks", level, "upsamplers", "0", "conv"]:
            return f"up.{levels - 1 - int(level)}.upsample.conv"
        case ["down_blocks", level, "resnets", number, layer]:
            return f"down.{level}.block.{number}.{_RESNET[layer]}"
        case ["up_blocks", level, "resnets", number, layer]:
            return f"up.{levels - 1 - int(level)}.block.{number}.{_RESNET[layer]}"
        case ["mid_block", "resnets", number, layer]:
            return f"mid.block_{int(number) + 1}.{_RESNET[layer]}"
        case ["mid_block", "attentions", "0", *layer]:
            return f"mid.attn_1.{_ATTENTION['.'.join(layer)]}"
    return _HALF[".".join(steps)]


def _without_suffix(name: str) -> tuple[str, str]:
    """Path and suffix of a tensor's name; a matrix has none."""
    suffix = next((suffix for suffix in _SUFFIXES if name.endswith(suffix)), "")
    return name.removesuffix(suffix), suffix


def _block_of(path: str) -> tuple[str, str, str]:
    """Kind and number of the block that a path lies in, both "" outside of them, and the path inside it."""
    first, _, rest = path.partition(".")
    if first not in _BLOCKS:
        return "", "", path
    number, _, inside = rest.partition(".")
    return first, number, inside


_SUFFIXES = (".weight", ".bias", ".running_mean", ".running_var", ".num_batches_tracked")
_BLOCKS = {"transformer_blocks": "double_blocks", "single_transformer_blocks": "single_blocks"}

_TRANSFORMER: dict[str, dict[str, str | BflPlace]] = {
    "": {
        "x_embedder": "img_in",
        "context_embedder": "txt_in",
        "time_guidance_embed.timestep_embedder.linear_1": "time_in.in_layer",
        "time_guidance_embed.timestep_embedder.linear_2": "time_in.out_layer",
        "time_guidance_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
        "time_guidance_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
        "double_stream_modulation_img.linear": "double_stream_modulation_img.lin",
        "double_stream_modulation_txt.linear": "double_stream_modulation_txt.lin",
        "single_stream_modulation.linear": "single_stream_modulation.lin",
        "norm_out.linear": BflPlace("final_layer.adaLN_modulation.1", halves_swapped=True),
        "proj_out": "final_layer.linear",
    },
    "transformer_blocks": {
        "attn.to_q": BflPlace("img_attn.qkv", third=0),
        "attn.to_k": BflPlace("img_attn.qkv", third=1),
        "attn.to_v": BflPlace("img_attn.qkv", third=2),
        "attn.add_q_proj": BflPlace("txt_attn.qkv", third=0),
        "attn.add_k_proj": BflPlace("txt_attn.qkv", third=1),
        "attn.add_v_proj": BflPlace("txt_attn.qkv", third=2),
        "attn.to_out.0": "img_attn.proj",
        "attn.to_add_out": "txt_attn.proj",
        "attn.norm_q": "img_attn.norm.query_norm",
        "attn.norm_k": "img_attn.norm.key_norm",
        "attn.norm_added_q": "txt_attn.norm.query_norm",
        "attn.norm_added_k": "txt_attn.norm.key_norm",
        "ff.linear_in": "img_mlp.0",
        "ff.linear_out": "img_mlp.2",
        "ff_context.linear_in": "txt_mlp.0",
        "ff_context.linear_out": "txt_mlp.2",
    },
    "single_transformer_blocks": {
        "attn.to_qkv_mlp_proj": "linear1",
        "attn.to_out": "linear2",
        "attn.norm_q": "norm.query_norm",
        "attn.norm_k": "norm.key_norm",
    },
}
"""BFL's name by diffusers', outside the blocks and inside those of either kind. Gate and value, and the parts of the
single blocks' matrices, are in the same order."""

_AUTOENCODER_TOP = {"quant_conv": "encoder.quant_conv", "post_quant_conv": "decoder.post_quant_conv", "bn": "bn"}
_HALF = {"conv_in": "conv_in", "conv_norm_out": "norm_out", "conv_out": "conv_out"}
_RESNET = {
    "norm1": "norm1",
    "conv1": "conv1",
    "norm2": "norm2",
    "conv2": "conv2",
    "conv_shortcut": "nin_shortcut",
}
_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
