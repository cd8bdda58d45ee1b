"""What encoding pictures takes beside what is kept, from the autoencoder's config; see `flux2.planning.planner`."""

from __future__ import annotations

import math

from flux2.architecture import limits
from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.reference_sizes import Size
from flux2.planning.decode_plan import attending_above, residual_above
from flux2.planning.run_facts import FILE_BYTES, RunFacts

BAND_COPIES, BAND_ROWS = 2.2, 4
"""Copies of a band beside a residual block's activations, and rows of the picture, on the CPU."""
HALVING_COPIES, HALVING_ONE_BAND = 5.7, 4.5
"""Copies of a band beside the picture that is halved, where there are several bands and where there is one: the rows
put together, padded and laid out for the convolution, and what this makes of them."""
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
    last = len(widths) - 1
    peaks = []
    for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False)):
        peaks.append(_residual_above(before, after, width >> level, height >> level, facts))
        if level < last:
            peaks.append(_halving_above(after, width >> level, height >> level, facts))
    peaks.append(attending_above(widths[-1], width >> last, height >> last, facts))
    picture = width * height * _COLOURS * (_FLOAT32 + (facts.compute_bytes if facts.compute_bytes < _FLOAT32 else 0))
    return int(picture + max(peaks))


def _residual_above(before: int, after: int, width: int, height: int, facts: RunFacts) -> float:
    """The activations of a residual block from `before` to `after` channels, and its bands' temporaries."""
    row = width * max(before, after) * facts.compute_bytes
    if facts.device == "gpu" or height * row <= limits.BAND_BYTES[facts.device]:
        return residual_above(before, after, width, height, facts)
    activations = height * width * max(before + after, 2 * after) * facts.compute_bytes
    return activations + BAND_COPIES * _band(height * row, facts) + BAND_ROWS * row


def _halving_above(channels: int, width: int, height: int, facts: RunFacts) -> float:
    """What halving the sides of a picture of so many channels takes."""
    activation = height * width * channels * facts.compute_bytes
    band = _band(activation, facts)
    return activation + band * (HALVING_ONE_BAND if band == activation else HALVING_COPIES)


def _band(activation: int, facts: RunFacts) -> float:
    """Bytes of each of the bands, all of one size, that an activation is worked on in."""
    return activation / math.ceil(activation / limits.BAND_BYTES[facts.device])
