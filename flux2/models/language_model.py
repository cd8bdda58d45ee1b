"""A decoder-only language model as FLUX.2's text encoder: token ids → the hidden states of three of its layers.

Qwen3 and Mistral are this one network; what sets them apart is in `LanguageModelConfig`, which a text encoder's row in
`flux2.architecture.text_encoder` reads. Parameter names and shapes are those of transformers, as far as they are used:
no head, no final norm, no layer after the last one whose hidden state is taken.
"""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from flux2.architecture.language_model import LanguageModelConfig
from flux2.backend.mlx import mx, nn
from flux2.models.attention import attend
from flux2.models.evaluation import AfterBlock
from flux2.models.layers import gated_silu
from flux2.models.rope import Rotation, rotate_halves, sequence_rotation


class Attendable(NamedTuple):
    """What every layer needs to know about the tokens; the same for all layers."""

    mask: mx.array
    """Which key each query may see: not later than itself and no padding; bool [batch, 1, tokens, tokens]."""
    seen: mx.array
    """Whether a query sees any key at all (left-side padding sees none); bool [batch, tokens, 1]."""
    rotation: Rotation


class LanguageModel(nn.Module):
    """Call it whole, or drive it piece by piece: `embed`, `attendable`, then the `stages` of each of `layers`."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.config = config
        self.model = Decoder(config)

    @property
    def layers(self) -> list[DecoderLayer]:
        return self.model.layers

    def embed(self, input_ids: mx.array) -> mx.array:
        """[batch, tokens] → [batch, tokens, hidden_size], in the dtype computed in, which is the norms'."""
        return self.model.embed_tokens(input_ids).astype(self.layers[0].input_layernorm.weight.dtype)

    def attendable(self, attention_mask: mx.array) -> Attendable:
        """Mask of attention from the tokenizer's mask, [batch, tokens], 1 for a token and 0 for padding."""
        tokens = attention_mask.shape[1]
        mask = mx.tri(tokens, dtype=mx.bool_) & attention_mask.astype(mx.bool_)[:, None, None, :]
        rotation = sequence_rotation(tokens, self.config.head_dim, self.config.rope_theta)
        return Attendable(mask, mask.any(axis=-1)[:, 0, :, None], rotation)

    def __call__(self, input_ids: mx.array, attention_mask: mx.array, after_block: AfterBlock = mx.eval) -> mx.array:
        """Prompt embeddings [batch, tokens, prompt_features].

        Padding positions are computed too: the diffusion transformer attends to them.
        """
        attendable = self.attendable(attention_mask)
        hidden_states = self.embed(input_ids)
        taken = []
        for number, layer in enumerate(self.layers, start=1):
            hidden_states = layer(hidden_states, attendable)
            after_block(hidden_states)
            if number in self.config.hidden_states_layers:
                taken.append(hidden_states)
        return mx.concatenate(taken, axis=-1)


class Decoder(nn.Module):
    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = [DecoderLayer(config) for _ in range(config.used_layers)]


class LayerState(NamedTuple):
    """What passes from one stage of a layer to the next."""

    hidden_states: mx.array
    """[batch, tokens, hidden_size]"""
    normalised: mx.array | None = None
    """The hidden states after the feed-forward's norm, while the feed-forward needs it."""
    gate: mx.array | None = None
    """[batch, tokens, intermediate_size]"""
    widened: mx.array | None = None
    """silu(gate) · up, [batch, tokens, intermediate_size]."""


class Stage(NamedTuple):
    """A piece of a layer's work: a stage and its weights fit in memory where the layer would not."""

    children: tuple[str, ...]
    """The layer's children whose parameters it needs."""
    run: Callable[[LayerState, Attendable], LayerState]


class DecoderLayer(nn.Module):
    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.self_attn = Attention(config)
        self.mlp = MLP(config)
        self.input_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = nn.RMSNorm(config.hidden_size, config.rms_norm_eps)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The layer in the order of its work: the attention, then each of the feed-forward's matrices by itself."""
        return (
            Stage(("input_layernorm", "self_attn"), self._attend),
            Stage(("post_attention_layernorm", "mlp.gate_proj"), self._gate),
            Stage(("mlp.up_proj",), self._widen),
            Stage(("mlp.down_proj",), self._narrow),
        )

    def __call__(self, hidden_states: mx.array, attendable: Attendable) -> mx.array:
        state = LayerState(hidden_states)
        for stage in self.stages:
            state = stage.run(state, attendable)
        return state.hidden_states

    def _attend(self, state: LayerState, attendable: Attendable) -> LayerState:
        attended = self.self_attn(self.input_layernorm(state.hidden_states), attendable)
        return LayerState(state.hidden_states + attended)

    def _gate(self, state: LayerState, _: Attendable) -> LayerState:
        normalised = self.post_attention_layernorm(state.hidden_states)
        return state._replace(normalised=normalised, gate=self.mlp.gate_proj(normalised))

    def _widen(self, state: LayerState, _: Attendable) -> LayerState:
        assert state.gate is not None
        return LayerState(state.hidden_states, widened=gated_silu(state.gate, self.mlp.up_proj(state.normalised)))

    def _narrow(self, state: LayerState, _: Attendable) -> LayerState:
        return LayerState(state.hidden_states + self.mlp.down_proj(state.widened))


class Attention(nn.Module):
    """Grouped-query attention."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self._head_dim = config.head_dim
        self.q_proj = nn.Linear(config.hidden_size, config.queries, bias=False)
        self.k_proj = nn.Linear(config.hidden_size, config.keys, bias=False)
        self.v_proj = nn.Linear(config.hidden_size, config.keys, bias=False)
        self.o_proj = nn.Linear(config.queries, config.hidden_size, bias=False)
        if config.normalised_queries:
            self.q_norm = nn.RMSNorm(config.head_dim, config.rms_norm_eps)
            self.k_norm = nn.RMSNorm(config.head_dim, config.rms_norm_eps)

    def __call__(self, x: mx.array, attendable: Attendable) -> mx.array:
        q, k, v = (
            project(x).reshape(*x.shape[:-1], -1, self._head_dim) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        if "q_norm" in self:
            q, k = self.q_norm(q), self.k_norm(k)
        q, k = rotate_halves(q, attendable.rotation), rotate_halves(k, attendable.rotation)
        attended = attend(q, k, v, attendable.mask)
        # A query without any key gets nothing, as in PyTorch; a softmax over nothing would give it everything's mean.
        attended = mx.where(attendable.seen, attended, 0)
        return self.o_proj(attended)


class MLP(nn.Module):
    """SwiGLU; its three matrices are used one by one (`DecoderLayer.stages`)."""

    def __init__(self, config: LanguageModelConfig) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.up_proj = nn.Linear(config.hidden_size, config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)
