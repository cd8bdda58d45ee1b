"""What a decode takes beside what is kept, from the autoencoder's config alone; see `flux2.planning.planner`."""

from __future__ import annotations

import math

from flux2.architecture import limits
from flux2.architecture.autoencoder import AutoencoderConfig, autoencoder_shapes
from flux2.architecture.limits import DeviceType
from flux2.planning.run_facts import FILE_BYTES, RunFacts

DECODE_CHUNKS = 3.0
"""Copies of a chunk's attention scores."""
BAND_COPIES: dict[DeviceType, float] = {"cpu": 3, "gpu": 10.1}
"""Copies of a band beside the activations."""
WHOLE_COPIES: dict[DeviceType, tuple[float, float]] = {"cpu": (2, 2.1), "gpu": (4, 2)}
"""Copies of a residual block's input and of its output, where the picture is one band."""
BAND_ROWS = 14
"""Rows of a picture, for the bands' overlaps."""


def decode_above(config: AutoencoderConfig, facts: RunFacts) -> int:
    """What the decoder takes: the weights of what did not run yet, and its attention's or a residual block's work."""
    b = facts.compute_bytes
    weights = {
        name: math.prod(shape) * (min(b, FILE_BYTES) if len(shape) == 2 else b)
        for name, shape in autoencoder_shapes(config).items()
        if name.startswith(("decoder.", "post_quant_conv.", "bn.running"))
    }
    widths = config.decoder_block_out_channels[::-1]
    factor = 2 ** (len(widths) - 1)
    width, height = facts.width // factor, facts.height // factor
    left = sum(weights.values())
    residual = left + residual_above(widths[0], widths[0], width, height, facts)
    left -= sum(count for name, count in weights.items() if name.startswith("decoder.mid_block.resnets.0."))
    peaks = [residual, left + attending_above(widths[0], width, height, facts)]

    left = sum(count for name, count in weights.items() if name.startswith(("decoder.up_blocks.", "decoder.conv_")))
    for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False)):
        peaks.append(left + residual_above(before, after, width << level, height << level, facts))
        left -= sum(count for name, count in weights.items() if name.startswith(f"decoder.up_blocks.{level}."))
    return int(max(peaks))


def attending_above(channels: int, width: int, height: int, facts: RunFacts) -> float:
    """What the attention of a picture's pixels to each other takes."""
    activations = 5 * width * height * channels * facts.compute_bytes
    return activations + DECODE_CHUNKS * scores_of_a_chunk(1, width * height, facts.device)


def residual_above(before: int, after: int, width: int, height: int, facts: RunFacts) -> float:
    """The activations of a residual block from `before` to `after` channels, and its bands' temporaries."""
    b = facts.compute_bytes
    row = width * max(before, after) * b
    activation = height * width * max(before, 2 * after) * b
    if height * row <= limits.BAND_BYTES[facts.device]:
        inputs, outputs = WHOLE_COPIES[facts.device]
        return height * width * b * (inputs * before + outputs * after) + 9 * before * after * b
    return activation + BAND_COPIES[facts.device] * limits.BAND_BYTES[facts.device] + BAND_ROWS * row


def scores_of_a_chunk(heads: int, tokens: int, backend: DeviceType) -> int:
    """Bytes of the attention scores of one chunk of queries."""
    return min(limits.SCORES_BYTES[backend], (1 if backend == "cpu" else heads) * tokens**2 * 4)
