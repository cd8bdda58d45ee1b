"""The Qwen3 text encoder of FLUX.2 Klein: token ids → the hidden states of three of its layers.

Parameter names and shapes are those of transformers' `Qwen3ForCausalLM`, as far as they are used: no head, no final
norm, no layer after the last one whose hidden state is taken.
"""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flux2.mlx_backend import mx, nn
from flux2.models.attention import attend
from flux2.models.config import MAX_LAYERS, ConfigReader
from flux2.models.layers import AfterBlock, gated_silu
from flux2.models.rope import Rotation, rotate_halves, sequence_rotation

HIDDEN_STATES_LAYERS = (9, 18, 27)
"""Whose hidden states FLUX.2 Klein takes; 0 would be the embeddings (diffusers' `text_encoder_out_layers`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Qwen3Config:
    """The constants of text_encoder/config.json, under transformers' names."""

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    rms_norm_eps: float
    rope_theta: float

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], file: str = "text_encoder/config.json") -> Qwen3Config:
        """Read config.json as transformers 4 (`rope_theta`) or 5 (`rope_parameters`) wrote it; ignore unknown keys.

        Raises:
            CheckpointError: naming `file`, key and value of what is missing, makes no sense or is not supported.
        """
        read = ConfigReader(values, file)
        read.require("model_type", "qwen3")
        read.support_only("hidden_act", "silu")
        read.support_only("attention_bias", False)
        read.support_only("use_sliding_window", False)
        rope = read
        if read.has("rope_parameters"):
            rope = read.section("rope_parameters")
            rope.support_only("rope_type", "default")
        elif read.has("rope_scaling"):
            raise read.refuse("rope_scaling", "only unscaled RoPE is supported")
        heads = read.integer("num_attention_heads")
        config = cls(
            vocab_size=read.integer("vocab_size"),
            hidden_size=read.integer("hidden_size"),
            intermediate_size=read.integer("intermediate_size"),
            num_hidden_layers=read.integer("num_hidden_layers", maximum=MAX_LAYERS),
            num_attention_heads=heads,
            num_key_value_heads=read.integer("num_key_value_heads") if read.has("num_key_value_heads") else heads,
            head_dim=read.integer("head_dim", 128, multiple_of=2),
            rms_norm_eps=read.number("rms_norm_eps", 1e-6),
            rope_theta=rope.number("rope_theta"),
        )
        if config.num_attention_heads % config.num_key_value_heads:
            raise read.refuse("num_key_value_heads", f"must divide num_attention_heads, {heads}")
        if config.num_hidden_layers <= HIDDEN_STATES_LAYERS[-1]:
            # The last layer's hidden state would be the final-normed one.
            raise read.refuse("num_hidden_layers", f"must be more than {HIDDEN_STATES_LAYERS[-1]}")
        return config


class Attendable(NamedTuple):
    """What every layer needs to know about the tokens; the same for all layers."""

    mask: mx.array
    """Which key each query may see: not later than itself and no padding; bool [batch, 1, tokens, tokens]."""
    seen: mx.array
    """Whether a query sees any key at all (left-side padding sees none); bool [batch, tokens, 1]."""
    rotation: Rotation


class Qwen3ForCausalLM(nn.Module):
    """Call it whole, or drive it one layer at a time: `embed`, `attendable`, then each of `layers`."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.config = config
        self.model = Qwen3Model(config)

    @property
    def layers(self) -> list[DecoderLayer]:
        return self.model.layers

    def embed(self, input_ids: mx.array) -> mx.array:
        """[batch, tokens] → [batch, tokens, hidden_size], in the dtype of the embedding table."""
        return self.model.embed_tokens(input_ids)

    def attendable(self, attention_mask: mx.array) -> Attendable:
        """From the tokenizer's mask, [batch, tokens], 1 for a token and 0 for padding."""
        tokens = attention_mask.shape[1]
        mask = mx.tri(tokens, dtype=mx.bool_) & attention_mask.astype(mx.bool_)[:, None, None, :]
        rotation = sequence_rotation(tokens, self.config.head_dim, self.config.rope_theta)
        return Attendable(mask, mask.any(axis=-1)[:, 0, :, None], rotation)

    def __call__(self, input_ids: mx.array, attention_mask: mx.array, after_block: AfterBlock = mx.eval) -> mx.array:
        """Prompt embeddings [batch, tokens, 3 · hidden_size]: three hidden states side by side.

        Padding positions are computed too: the diffusion transformer attends to them.
        """
        attendable = self.attendable(attention_mask)
        hidden_states = self.embed(input_ids)
        taken = []
        for number, layer in enumerate(self.layers, start=1):
            hidden_states = layer(hidden_states, attendable)
            after_block(hidden_states)
            if number in HIDDEN_STATES_LAYERS:
                taken.append(hidden_states)
        return mx.concatenate(taken, axis=-1)


class Qwen3Model(nn.Module):
    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = [DecoderLayer(config) for _ in range(HIDDEN_STATES_LAYERS[-1])]


class DecoderLayer(nn.Module):
    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    def __call__(self, hidden_states: mx.array, attendable: Attendable) -> mx.array:
        return self.feed_forward(self.attend(hidden_states, attendable))

    def attend(self, hidden_states: mx.array, attendable: Attendable) -> mx.array:
        """The first half: `input_layernorm` and `self_attn`."""
        return hidden_states + self.self_attn(self.input_layernorm(hidden_states), attendable)

    def feed_forward(self, hidden_states: mx.array) -> mx.array:
        """The second half: `post_attention_layernorm` and `mlp`."""
        return hidden_states + self.mlp(self.post_attention_layernorm(hidden_states))


class Attention(nn.Module):
    """Grouped-query attention with normalised queries and keys."""

    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self._head_dim = config.head_dim
        queries, keys = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, keys, bias=False)
        self.o_proj = nn.Linear(queries, config.hidden_size, bias=False)
        self.q_norm = nn.RMSNorm(config.head_dim, config.rms_norm_eps)
        self.k_norm = nn.RMSNorm(config.head_dim, config.rms_norm_eps)

    def __call__(self, x: mx.array, attendable: Attendable) -> mx.array:
        q, k, v = (
            project(x).reshape(*x.shape[:-1], -1, self._head_dim) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        q = rotate_halves(self.q_norm(q), attendable.rotation)
        k = rotate_halves(self.k_norm(k), attendable.rotation)
        attended = attend(q, k, v, attendable.mask)
        # A query without any key gets nothing, as in PyTorch; a softmax over nothing would give it everything's mean.
        attended = mx.where(attendable.seen, attended, 0)
        return self.o_proj(attended)


class MLP(nn.Module):
    def __init__(self, config: Qwen3Config) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.down_proj(gated_silu(self.gate_proj(x), self.up_proj(x)))
