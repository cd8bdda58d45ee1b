"""How many floating-point operations a step, a decode and an encoding are, from the config."""

from __future__ import annotations

import math

from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.shapes import Shapes
from flux2.architecture.transformer import Flux2TransformerConfig, transformer_shapes
from flux2.bench.research.peers.contender import Work


def step_operations(work: Work) -> float:
    """Operations of one pass: two per weight and token that meet, and the attention's two products of all tokens."""
    config = Flux2TransformerConfig.from_dict(work.architecture.transformer)
    image = math.prod(work.grid)
    blocks = config.num_layers + config.num_single_layers
    multiplied = 0.0
    for name, shape in transformer_shapes(config).items():
        if len(shape) == 2:
            multiplied += math.prod(shape) * _tokens(name, image, work.text_tokens)
    return 2 * multiplied + blocks * 4 * work.tokens**2 * config.width


def decode_operations(work: Work) -> float:
    """Operations of one decode: two for each weight of a convolution and pixel, and the attention."""
    config = AutoencoderConfig.from_dict(work.architecture.vae)
    widths = config.decoder_block_out_channels
    smallest: float = work.height * work.width / 4 ** (len(widths) - 1)
    multiplied = 0.0
    for name, shape in autoencoder_shapes(config).items():
        if len(shape) > 1 and name.startswith(("decoder.", "post_quant_conv.")):
            multiplied += math.prod(shape) * smallest * 4 ** _level(name, len(widths))
    return 2 * multiplied + 4 * smallest**2 * widths[-1]


def _tokens(name: str, image: int, text: int) -> int:
    """How many tokens a weight of a step meets; 0 for what is computed once per run."""
    if name.startswith(("time_guidance", "double_stream", "single_stream", "norm_out", "context_embedder")):
        return 0
    if name.startswith("single_transformer_blocks"):
        return image + text
    return text if any(part in name for part in (".add_", "to_add_out", "ff_context")) else image


def _level(name: str, levels: int) -> int:
    """How often the picture was doubled before this layer of the decoder; an upsampler works on the doubled one."""
    if name.startswith(("decoder.conv_out", "decoder.conv_norm_out")):
        return levels - 1
    if not name.startswith("decoder.up_blocks."):
        return 0
    return int(name.split(".")[2]) + (".upsamplers." in name)


def encode_operations(used: Shapes, tokens: int) -> float:
    """Operations of a prompt's way through these layers of the text encoder; its attention is next to nothing."""
    return 2.0 * tokens * sum(math.prod(shape) for shape in used.values() if len(shape) == 2)
