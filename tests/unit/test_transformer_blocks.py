"""The transformer's blocks in float16, whose largest number they must not pass."""

from __future__ import annotations

import numpy as np
from mlx.utils import tree_map

from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.backend.mlx import mx, nn
from flux2.models.layers import FLOAT16_MAX
from flux2.models.rope import axial_rotation, image_positions
from flux2.models.transformer_blocks import Modulation, SingleTransformerBlock, TransformerBlock

SIDE = 3
CONFIG = Flux2TransformerConfig.from_dict(
    {
        "_class_name": "Flux2Transformer2DModel",
        "num_layers": 1,
        "num_single_layers": 1,
        "num_attention_heads": 2,
        "attention_head_dim": 32,
        "axes_dims_rope": [8, 8, 8, 8],
        "joint_attention_dim": 64,
    }
)
GATE = 30_000
"""What every update is multiplied by: it takes some of the numbers near float16's largest beyond it."""


def near_the_limit() -> mx.array:
    """Hidden states, [1, tokens, width]."""
    signs = mx.random.bernoulli(0.5, (1, SIDE * SIDE, CONFIG.width), key=mx.random.key(1))
    return mx.where(signs, 60_000, -60_000).astype(mx.float16)


def in_float16(block: nn.Module) -> None:
    def random(weight: mx.array) -> mx.array:
        return mx.random.normal(weight.shape, scale=0.2, key=mx.random.key(weight.size)).astype(mx.float16)

    block.update(tree_map(random, block.parameters()))


def gates(times: int) -> mx.array:
    """(shift, scale, gate) so many times, [1, 1, parts · width]: nothing is shifted or scaled."""
    nothing, gate = mx.zeros((1, 1, 2 * CONFIG.width)), mx.full((1, 1, CONFIG.width), GATE)
    return mx.concatenate([nothing, gate] * times, axis=-1).astype(mx.float16)


def assert_clipped(states: mx.array) -> None:
    found = np.array(states.astype(mx.float32))
    assert np.isfinite(found).all()
    assert np.abs(found).max() == FLOAT16_MAX


def test_a_single_block_stays_within_float16() -> None:
    block = SingleTransformerBlock(CONFIG)
    in_float16(block)
    rotation = axial_rotation(image_positions(SIDE, SIDE), CONFIG.axes_dims_rope, CONFIG.rope_theta).of_pairs()
    assert_clipped(block(near_the_limit(), gates(1), rotation, mx.eval))


def test_a_double_blocks_text_stays_within_float16() -> None:
    block = TransformerBlock(CONFIG)
    in_float16(block)
    unused = mx.zeros(())
    assert_clipped(block.feed_forward_context(near_the_limit(), Modulation(unused, gates(2), unused, unused)))
