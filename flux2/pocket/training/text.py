"""Prompt embeddings as pipelines compute them, from transformers' Qwen3, in a form that can be compiled once.

One function is applied to the weights of each layer, so that a compiler sees a single layer and not twenty-eight.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import Qwen3ForCausalLM

from .networks import TEXT_LAYERS

MASKED = -30000.0


def _norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    wide = x.float()
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(x.dtype) * weight


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return x * cos + torch.cat([-second, first], -1) * sin


def layer(
    hidden: Tensor, cos: Tensor, sin: Tensor, mask: Tensor, weights: tuple[Tensor, ...], epsilon: float
) -> Tensor:
    """One Qwen3 layer; `weights` are those of `_weights_of`."""
    norm_in, q, k, v, norm_q, norm_k, out, norm_mlp, gate, up, down = weights
    head = norm_q.shape[0]
    x = _norm(hidden, norm_in, epsilon)
    queries = _rotate(_norm(F.linear(x, q).unflatten(-1, (-1, head)), norm_q, epsilon).transpose(1, 2), cos, sin)
    keys = _rotate(_norm(F.linear(x, k).unflatten(-1, (-1, head)), norm_k, epsilon).transpose(1, 2), cos, sin)
    values = F.linear(x, v).unflatten(-1, (-1, head)).transpose(1, 2)
    groups = queries.shape[1] // keys.shape[1]
    keys, values = keys.repeat_interleave(groups, 1), values.repeat_interleave(groups, 1)
    attended = F.scaled_dot_product_attention(
        queries.to(values.dtype), keys.to(values.dtype), values, attn_mask=mask.to(values.dtype)
    )
    hidden = hidden + F.linear(attended.transpose(1, 2).flatten(2), out)
    x = _norm(hidden, norm_mlp, epsilon)
    return hidden + F.linear(F.silu(F.linear(x, gate)) * F.linear(x, up), down)


def _weights_of(block: nn.Module) -> tuple[Tensor, ...]:
    attention, mlp = block.self_attn, block.mlp
    parts = (
        *(block.input_layernorm, attention.q_proj, attention.k_proj, attention.v_proj, attention.q_norm),
        *(
            attention.k_norm,
            attention.o_proj,
            block.post_attention_layernorm,
            mlp.gate_proj,
            mlp.up_proj,
            mlp.down_proj,
        ),
    )
    return tuple(part.weight for part in parts)


class PromptEmbedder:
    """Tokens [n, length], padded right, to embeddings [n, length, 3 x width]."""

    def __init__(self, encoder: Qwen3ForCausalLM, compiled: bool = False) -> None:
        self.encoder = encoder
        self._layer: Callable[..., Tensor] = torch.compile(layer, dynamic=False) if compiled else layer

    def __call__(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        model, config = self.encoder.model, self.encoder.config
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        hidden = model.embed_tokens(tokens)
        cos, sin = (part[:, None] for part in model.rotary_emb(hidden.float(), positions[None]))
        seen = (positions[None, :] <= positions[:, None])[None] & (positions < lengths[:, None])[:, None, :]
        mask = torch.zeros(seen.shape, device=tokens.device).masked_fill(~seen, MASKED)[:, None]
        taken = []
        for number, block in enumerate(model.layers[: TEXT_LAYERS[-1]], start=1):
            hidden = self._layer(hidden, cos, sin, mask, _weights_of(block), config.rms_norm_eps)
            if number in TEXT_LAYERS:
                taken.append(hidden)
        return torch.cat(taken, -1)
