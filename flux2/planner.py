"""How much memory a run will take, phase by phase, from config files alone: no weights, and no MLX.

What is held is arithmetic: every tensor's shape follows from the configs, and how it is stored from the quantization.
What computing adds on top is proportional to the number of tokens or pixels; the factors below were found by measuring
the engine's peaks at several sizes (`flux2 bench` repeats it), and have to be found again where a network changes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from flux2.budget import Budget
from flux2.errors import CheckpointError
from flux2.events import Phase
from flux2.model_configs import Networks
from flux2.request import QUANTIZATIONS, RESIDENCIES, TOKEN_PIXELS
from flux2.shapes import Shapes, text_encoder_shapes, transformer_shapes, vae_shapes

Backend = Literal["cpu", "gpu"]

QUANTIZED_BYTES = {"qint8": 8.5 / 8, "int4": 4.5 / 8}
"""Of a weight: its bits, and a bfloat16 scale and bias for each 64."""
COMPUTE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
FILE_BYTES = 2  # of a weight in the checkpoint, bfloat16
SCORES_BYTES = 64 << 20  # most that the attention scores of one chunk of queries take (flux2/models/attention.py)

ENCODE_MULTIPLYING = (3, 3.5)
"""Activations of the text encoder's feed-forward: so many times its width, and so many times the hidden size."""
ENCODE_ATTENDING = (8, 2)
"""Of its attention: so many times the queries' width, and so many times the hidden size."""
BLOCK_WIDTHS: dict[Backend, float] = {"cpu": 22, "gpu": 42}
"""Activations of a single-stream block while it attends: so many times its width. "gpu" was counted by running that
backend's operations, with the fused ones stubbed, on the CPU's allocator."""
PROJECTED_WIDTHS = 21.5
"""The same while a weight is widened for the CPU's multiplication."""
WIDENED_WEIGHTS = {False: 1.0, True: 1.95}
"""Copies of a weight in that moment, as wide as what is computed in; by whether it is quantized."""
ENCODE_CHUNKS, BLOCK_CHUNKS, DECODE_CHUNKS = 3.1, 2.45, 3.0
"""Copies of a chunk's attention scores."""
BAND_BYTES: dict[Backend, int] = {"cpu": 8 << 20, "gpu": 32 << 20}
"""Of a band of rows of the decoder's activations (flux2/models/bands.py)."""
BAND_COPIES, WHOLE_COPIES = {"cpu": 4, "gpu": 10}, {"cpu": 2, "gpu": 5}
"""Of a band beside the activations, and of a picture that is one band; "gpu" as for `BLOCK_WIDTHS`."""
BAND_ROWS = 14
"""Rows of a picture, for the bands' overlaps."""
CONVOLUTION_WINDOWS = 2 << 20  # bytes, on the CPU (flux2/models/conv.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """What computes, as far as memory depends on it."""

    dtype: str = "bfloat16"
    backend: Backend = "gpu"
    keep_transformer: bool = True
    """For the next picture; False where there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What a run is to be made with, as far as memory depends on it."""

    quantization: str = "bf16"
    residency: str = "resident"
    keep_text_encoder: bool = False
    keep_transformer: bool = True
    """For the next picture, where the budget allows it; else it is let go before the decode."""
    width: int = 1024
    height: int = 1024
    dtype: str = "bfloat16"
    backend: Backend = "gpu"
    guided: bool = False
    """Whether there is a second pass per step, for a negative prompt."""
    text_tokens: int = 0
    """0 for what the model was trained with."""

    @property
    def compute_bytes(self) -> int:
        return COMPUTE_BYTES[self.dtype]

    @property
    def image_tokens(self) -> int:
        return (self.width // TOKEN_PIXELS) * (self.height // TOKEN_PIXELS)

    @property
    def prompts(self) -> int:
        return 2 if self.guided else 1

    @property
    def widens(self) -> bool:
        """Whether weights are narrower than what is computed in, so that each is widened when it is used."""
        return self.compute_bytes > FILE_BYTES


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What a first run will take, bytes of MLX's active memory."""

    setting: Setting
    resident: int
    """What of the transformer's weights stays from step to step."""
    embeddings: int
    """The prompt's, held from the first phase to the last."""
    peaks: dict[Phase, int]
    read_per_step: int = 0
    """From the disk, where the transformer is streamed."""
    drops_transformer: bool = False
    """Whether it is let go before the decode, and has to be loaded again for the next picture."""

    @property
    def peak(self) -> int:
        return max(self.peaks.values())

    @property
    def phase(self) -> Phase:
        """The one that sets the peak."""
        return max(self.peaks, key=self.peaks.__getitem__)

    def without_transformer(self) -> MemoryPlan:
        """The same run, with the transformer let go before the decode."""
        alone = {"decode": self.peaks["decode"] - self.resident}
        return replace(self, peaks={**self.peaks, **alone}, drops_transformer=self.resident > 0)


def plan_all(networks: Networks, setting: Setting, budget: Budget | None = None) -> list[MemoryPlan]:
    """One plan per quantization and residency, the best first: kept weights go before better ones that are streamed."""
    return [
        plan(networks, replace(setting, quantization=quantization, residency=residency), budget)
        for residency, quantization in product(RESIDENCIES, QUANTIZATIONS)
    ]


def plan(networks: Networks, setting: Setting, budget: Budget | None = None) -> MemoryPlan:
    """The peak of every phase of a first run, in which nothing is kept from an earlier one.

    Args:
        budget: where the transformer fits it and the decode beside it does not, the transformer is let go before.

    Raises:
        CheckpointError: if a config lacks what the sizes follow from.
    """
    try:
        found = _plan(networks, replace(setting, text_tokens=setting.text_tokens or networks.text_tokens))
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(
            f"The model's config files make no sense ({type(error).__name__}: {error}); download them again."
        ) from error
    without = found.without_transformer()
    if setting.keep_transformer and (budget is None or not budget.is_better(without.peak, found.peak)):
        return found
    return without


def _plan(networks: Networks, setting: Setting) -> MemoryPlan:
    shapes = transformer_shapes(networks.transformer)
    resident = sum(_stored(shape, setting) for shape in shapes.values())
    embeddings = setting.prompts * setting.text_tokens * _joint_width(networks) * setting.compute_bytes
    peaks: dict[Phase, int] = {
        "encode": _encode_peak(networks.text_encoder, setting),
        "load": embeddings + _load_peak(shapes, setting),
        "denoise": embeddings + resident + _denoise_above(networks.transformer, shapes, setting),
        "decode": embeddings + resident + _decode_above(networks.vae, setting),
    }
    return MemoryPlan(setting, resident, embeddings, peaks)


def _joint_width(networks: Networks) -> int:
    return int(networks.transformer["joint_attention_dim"])


def _stored(shape: tuple[int, ...], setting: Setting) -> int:
    """Bytes of a weight as it is kept; a Linear's stays as narrow as in the file, all else is what is computed in."""
    count = math.prod(shape)
    if len(shape) != 2:
        return count * setting.compute_bytes
    return int(count * QUANTIZED_BYTES.get(setting.quantization, min(FILE_BYTES, setting.compute_bytes)))


def _load_peak(shapes: Shapes, setting: Setting) -> int:
    """Weights are read one by one, the largest first; the one in work is there twice, as read and as kept."""
    done = peak = 0
    for shape in sorted(shapes.values(), key=math.prod, reverse=True):
        kept = _stored(shape, setting)
        read = math.prod(shape) * FILE_BYTES
        converted = kept != read
        peak = max(peak, done + read + converted * kept)
        done += kept
    return peak


def _encode_peak(config: dict[str, Any], setting: Setting) -> int:
    """Half a layer computes while the next half is read."""
    language_model = config.get("text_config", config)
    prefix = "language_model.model.layers.0." if "text_config" in config else "model.layers.0."
    shapes = text_encoder_shapes(config)
    both_halves = FILE_BYTES * sum(math.prod(shape) for name, shape in shapes.items() if name.startswith(prefix))
    hidden, feed_forward = language_model["hidden_size"], language_model["intermediate_size"]
    heads, head_dim = language_model["num_attention_heads"], language_model["head_dim"]
    bytes_of_one = setting.text_tokens * setting.compute_bytes  # for every token

    multiplying = bytes_of_one * _weighted(ENCODE_MULTIPLYING, feed_forward, hidden)
    if setting.widens:
        multiplying += 2 * hidden * feed_forward * setting.compute_bytes
    attending = bytes_of_one * _weighted(ENCODE_ATTENDING, heads * head_dim, hidden)
    if setting.backend == "cpu":
        attending += ENCODE_CHUNKS * _scores(heads, setting.text_tokens)
    others = (setting.prompts - 1) * bytes_of_one * 4 * hidden  # their hidden states, and those taken
    return int(both_halves + max(multiplying, attending) + others)


def _denoise_above(config: dict[str, Any], shapes: Shapes, setting: Setting) -> int:
    """What denoising takes beside the weights: the conditioning, and the activations of one block."""
    heads, head_dim = config["num_attention_heads"], config["attention_head_dim"]
    width, b = heads * head_dim, setting.compute_bytes
    tokens = setting.text_tokens + setting.image_tokens
    conditioning = setting.prompts * setting.text_tokens * width * b + tokens * head_dim * 4
    attending = tokens * width * b * BLOCK_WIDTHS[setting.backend]
    if setting.backend == "gpu":
        return int(conditioning + attending)

    attending += BLOCK_CHUNKS * _scores(heads, tokens)
    in_blocks = max(math.prod(shape) for name, shape in shapes.items() if "transformer_blocks" in name)
    in_conditioning = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if any(part in name for part in ("modulation", "norm_out", "context_embedder"))
    )
    quantized = setting.quantization in QUANTIZED_BYTES
    copies = WIDENED_WEIGHTS[quantized] if quantized or setting.widens else 0
    projecting = tokens * width * b * PROJECTED_WIDTHS + copies * in_blocks * b
    return int(max(copies * in_conditioning * b, conditioning + max(attending, projecting)))


def _decode_above(config: dict[str, Any], setting: Setting) -> int:
    """What the decoder takes: the weights of what did not run yet, and its attention's or a residual block's work."""
    b = setting.compute_bytes
    weights = {
        name: math.prod(shape) * (min(b, FILE_BYTES) if len(shape) == 2 else b)
        for name, shape in vae_shapes(config).items()
        if name.startswith(("decoder.", "post_quant_conv.", "bn.running"))
    }
    widths = (config.get("decoder_block_out_channels") or config["block_out_channels"])[::-1]
    factor = 2 ** (len(widths) - 1)
    width, height = setting.width // factor, setting.height // factor
    left = sum(weights.values())
    residual = left + _residual_above(widths[0], widths[0], width, height, setting)
    left -= sum(count for name, count in weights.items() if name.startswith("decoder.mid_block.resnets.0."))
    attending = left + 5 * width * height * widths[0] * b + DECODE_CHUNKS * _scores(1, width * height)
    peaks = [residual, attending]

    left = sum(count for name, count in weights.items() if name.startswith(("decoder.up_blocks.", "decoder.conv_")))
    for level, (before, after) in enumerate(zip((widths[0], *widths), widths, strict=False)):
        peaks.append(left + _residual_above(before, after, width << level, height << level, setting))
        left -= sum(count for name, count in weights.items() if name.startswith(f"decoder.up_blocks.{level}."))
    return int(max(peaks))


def _residual_above(before: int, after: int, width: int, height: int, setting: Setting) -> float:
    """The activations of a residual block from `before` to `after` channels, and its bands' temporaries."""
    b = setting.compute_bytes
    row = width * max(before, after) * b
    activation = height * width * max(before, 2 * after) * b
    if height * row <= BAND_BYTES[setting.backend]:
        windows = min(CONVOLUTION_WINDOWS, 9 * height * row) if setting.backend == "cpu" else 0
        return height * row * (1 + WHOLE_COPIES[setting.backend]) + 9 * before * after * b + windows
    return activation + BAND_COPIES[setting.backend] * BAND_BYTES[setting.backend] + BAND_ROWS * row


def _weighted(factors: tuple[float, float], first: int, second: int) -> float:
    return factors[0] * first + factors[1] * second


def _scores(heads: int, tokens: int) -> int:
    """Bytes of the attention scores of one chunk of queries."""
    return min(SCORES_BYTES, heads * tokens**2 * 4)
