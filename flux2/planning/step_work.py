"""How much a denoising step computes, from config files alone: what reference pictures cost in time before a run."""

from __future__ import annotations

from flux2.architecture.transformer import Flux2TransformerConfig


def step_work(config: Flux2TransformerConfig, tokens: int) -> int:
    """Multiplications in the blocks of a step, of all its tokens: the text's, the picture's and the references'.

    Every token is multiplied with a block's weights, those of its stream in a double block, which are as many as a
    single block's; and attends to every token.
    """
    width, mlp = config.width, config.mlp_width
    weights = 4 * width * width + 3 * width * mlp
    blocks = config.num_layers + config.num_single_layers
    return blocks * tokens * (weights + 2 * tokens * width)
