"""What encoding pictures takes beside what is kept, from the autoencoder's config; see `flux2.planning.planner`."""

from __future__ import annotations

import math

from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.reference_sizes import Size
from flux2.planning.decode_plan import attending_above, residual_above
from flux2.planning.run_facts import FILE_BYTES, RunFacts

_FLOAT32 = 4
_COLOURS = 3


def encode_above(config: AutoencoderConfig, facts: RunFacts) -> int:
    """What the encoder takes: its weights, the latents of the pictures that are done, and the work on the largest."""
    latents = sum(width * height for width, height in facts.pictures) * config.patch_channels * _FLOAT32
    latents //= (config.scale_factor * config.patch_size[0]) ** 2
    return _weights(config, facts) + latents + max(_work(config, size, facts) for size in facts.pictures)


def _weights(config: AutoencoderConfig, facts: RunFacts) -> int:
    b = facts.compute_bytes
    return sum(
        math.prod(shape) * (min(b, FILE_BYTES) if len(shape) == 2 else b)
        for name, shape in autoencoder_shapes(config).items()
        if name.startswith(("encoder.", "quant_conv.", "bn.running"))
    )


def _work(config: AutoencoderConfig, size: Size, facts: RunFacts) -> int:
    """The most that one picture's stages hold: a residual block's activations, level by level, or the attention's."""
    widths, (width, height) = config.block_out_channels, size
    peaks = [
        residual_above(before, after, width >> level, height >> level, facts)
        for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False))
    ]
    last = len(widths) - 1
    peaks.append(attending_above(widths[-1], width >> last, height >> last, facts))
    picture = width * height * _COLOURS * (_FLOAT32 + (facts.compute_bytes if facts.compute_bytes < _FLOAT32 else 0))
    return int(picture + max(peaks))
