"""Numbers that the engine obeys and the planner plans with; each stands here and nowhere else.

They bound what is held beside the weights. Changing one changes the engine and its plan together. Both read them as
`limits.NAME` when they need them, so that a test that changes one changes it for both.
"""

from __future__ import annotations

from typing import Literal

DeviceType = Literal["cpu", "gpu"]
"""What MLX computes on, as far as limits depend on it: its CPU backend, or one of its GPU backends."""

DTYPE_BYTES = {"bfloat16": 2, "float16": 2, "float32": 4}
"""Bytes of a number in each type that can be computed in, by diffusers' names."""

MAX_TEXT_TOKENS = 512
"""Text tokens that FLUX.2 was trained with, padding included (diffusers' `max_sequence_length`)."""

TOKEN_PIXELS = 16
"""Pixels of a picture's side that a transformer's token stands for: 8 by the autoencoder, doubled by patchifying."""

GROUP = 64
"""Neighbouring inputs of a quantized weight that share a scale and a bias, two bytes each."""

HEAD_START_ROOM = 700 << 20
"""Bytes above what was held before a step, up to which a GPU is given further work before it has done the last."""

BAND_BYTES: dict[DeviceType, int] = {"cpu": 8 << 20, "gpu": 48 << 20}
"""Bytes of a band of a picture's rows at most. An operation's temporaries are a few bands. Less would leave a GPU
waiting for work."""

SCORES_BYTES: dict[DeviceType, int] = {"cpu": 4 << 20, "gpu": 64 << 20}
"""Bytes of the attention scores of one chunk of queries at most, where no fused kernel attends: on the CPU one head's,
on a GPU all heads'."""

QUANTIZING_NUMBERS: dict[DeviceType, int] = {"cpu": 2 << 20, "gpu": 16 << 20}
"""Numbers of a weight whose codes are chosen at a time, which bounds what it takes beside them. A GPU is waited for
after each: klein-4b's 1,850 bands of the CPU's size took an H200 0.8 s; Dev's would be 16,000, in every step of a
streamed run."""

DEQUANTIZED_ROWS, DEQUANTIZED_NUMBERS = 512, 2 << 20
"""Rows of a quantized weight, and numbers in them, that are dequantized at most at a time on the CPU."""


def dequantized_rows(outputs: int, inputs: int) -> int:
    """Rows of a quantized weight [outputs, inputs] that the CPU dequantizes before it multiplies with them."""
    return min(outputs, DEQUANTIZED_ROWS, max(1, DEQUANTIZED_NUMBERS // inputs))
