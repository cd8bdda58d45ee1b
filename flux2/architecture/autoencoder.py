"""The autoencoder as its config describes it: constants and tensors, under diffusers' names (`AutoencoderKLFlux2`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flux2.architecture.config_reader import ConfigReader, check_class
from flux2.architecture.shapes import Shapes

CLASS = "AutoencoderKLFlux2"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoencoderConfig:
    """The constants of vae/config.json, under diffusers' names."""

    in_channels: int
    out_channels: int
    block_out_channels: tuple[int, ...]
    decoder_block_out_channels: tuple[int, ...]
    layers_per_block: int
    latent_channels: int
    norm_num_groups: int
    sample_size: int
    """Side of the pictures that it was made for, pixels."""
    use_quant_conv: bool
    use_post_quant_conv: bool
    mid_block_add_attention: bool
    batch_norm_eps: float
    patch_size: tuple[int, int]

    @property
    def scale_factor(self) -> int:
        """Pixels per latent, along each side."""
        return 1 << (len(self.block_out_channels) - 1)

    @property
    def patch_channels(self) -> int:
        """Channels of a patch of latents: the transformer's."""
        return self.latent_channels * math.prod(self.patch_size)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str = "vae/config.json") -> AutoencoderConfig:
        """Read config.json; unknown keys are ignored, and defaults are diffusers'.

        Raises:
            CheckpointError: naming `file`, key and value of what is missing, makes no sense or is not supported.
        """
        read = ConfigReader(values, file)
        check_class(file, values.get("_class_name"), (CLASS,))
        read.support_only("act_fn", "silu")
        groups = read.integer("norm_num_groups", 32)
        widths = read.integers("block_out_channels", (128, 256, 512, 512), multiple_of=groups)
        decoder_widths = widths
        if read.has("decoder_block_out_channels"):
            decoder_widths = read.integers("decoder_block_out_channels", multiple_of=groups)
            if len(decoder_widths) != len(widths):
                raise read.refuse("decoder_block_out_channels", f"must have {len(widths)} values")
        read.support_only("down_block_types", ["DownEncoderBlock2D"] * len(widths))
        read.support_only("up_block_types", ["UpDecoderBlock2D"] * len(widths))
        patch = read.integers("patch_size", (2, 2), maximum=16)
        if len(patch) != 2:
            raise read.refuse("patch_size", "must have 2 values")
        return cls(
            in_channels=read.integer("in_channels", 3),
            out_channels=read.integer("out_channels", 3),
            block_out_channels=widths,
            decoder_block_out_channels=decoder_widths,
            layers_per_block=read.integer("layers_per_block", 2, maximum=64),
            latent_channels=read.integer("latent_channels", 32),
            norm_num_groups=groups,
            sample_size=read.integer("sample_size") if read.has("sample_size") else 1024,
            use_quant_conv=read.flag("use_quant_conv", True),
            use_post_quant_conv=read.flag("use_post_quant_conv", True),
            mid_block_add_attention=read.flag("mid_block_add_attention", True),
            batch_norm_eps=read.number("batch_norm_eps", 1e-4),
            patch_size=(patch[0], patch[1]),
        )


def autoencoder_shapes(config: AutoencoderConfig) -> Shapes:
    """Names and shapes of all its tensors, the BatchNorm's statistics among them."""
    latent = config.latent_channels
    shapes = _convolution("quant_conv", 2 * latent, 2 * latent, 1) if config.use_quant_conv else {}
    if config.use_post_quant_conv:
        shapes |= _convolution("post_quant_conv", latent, latent, 1)
    patched = (config.patch_channels,)
    shapes |= {"bn.running_mean": patched, "bn.running_var": patched, "bn.num_batches_tracked": ()}
    return shapes | _encoder(config) | _decoder(config)


def _encoder(config: AutoencoderConfig) -> Shapes:
    widths = config.block_out_channels
    shapes = _convolution("encoder.conv_in", widths[0], config.in_channels, 3)
    inputs = widths[0]
    for index, width in enumerate(widths):
        block = f"encoder.down_blocks.{index}"
        shapes |= _residual_blocks(block, config.layers_per_block, inputs, width)
        if index < len(widths) - 1:
            shapes |= _convolution(f"{block}.downsamplers.0.conv", width, width, 3)
        inputs = width
    shapes |= _middle("encoder.mid_block", inputs, config) | _norm("encoder.conv_norm_out", inputs)
    return shapes | _convolution("encoder.conv_out", 2 * config.latent_channels, inputs, 3)


def _decoder(config: AutoencoderConfig) -> Shapes:
    widths = config.decoder_block_out_channels
    inputs = widths[-1]
    shapes = _convolution("decoder.conv_in", inputs, config.latent_channels, 3)
    shapes |= _middle("decoder.mid_block", inputs, config)
    for index, width in enumerate(reversed(widths)):
        block = f"decoder.up_blocks.{index}"
        shapes |= _residual_blocks(block, config.layers_per_block + 1, inputs, width)
        if index < len(widths) - 1:
            shapes |= _convolution(f"{block}.upsamplers.0.conv", width, width, 3)
        inputs = width
    shapes |= _norm("decoder.conv_norm_out", inputs)
    return shapes | _convolution("decoder.conv_out", config.out_channels, inputs, 3)


def _middle(name: str, width: int, config: AutoencoderConfig) -> Shapes:
    shapes = _residual_blocks(name, 2, width, width)
    if config.mid_block_add_attention:
        shapes |= _norm(f"{name}.attentions.0.group_norm", width)
        for projection in ("to_q", "to_k", "to_v", "to_out.0"):
            shapes |= _with_bias(f"{name}.attentions.0.{projection}", (width, width))
    return shapes


def _residual_blocks(name: str, count: int, inputs: int, width: int) -> Shapes:
    shapes: Shapes = {}
    for index in range(count):
        block = f"{name}.resnets.{index}"
        shapes |= _norm(f"{block}.norm1", inputs) | _convolution(f"{block}.conv1", width, inputs, 3)
        shapes |= _norm(f"{block}.norm2", width) | _convolution(f"{block}.conv2", width, width, 3)
        if inputs != width:
            shapes |= _convolution(f"{block}.conv_shortcut", width, inputs, 1)
        inputs = width
    return shapes


def _convolution(name: str, outputs: int, inputs: int, kernel: int) -> Shapes:
    return _with_bias(name, (outputs, inputs, kernel, kernel))


def _norm(name: str, width: int) -> Shapes:
    return _with_bias(name, (width,))


def _with_bias(name: str, weight: tuple[int, ...]) -> Shapes:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}
