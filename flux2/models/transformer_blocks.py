"""The blocks of the FLUX.2 transformer: each is a few parts, evaluated one after the other so that little is held."""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flux2.backend.mlx import mx, nn
from flux2.models.attention import attend
from flux2.models.evaluation import Evaluate
from flux2.models.layers import add_gated, clip_float16, gated_silu, outputs
from flux2.models.rope import PairRotation, normalise_and_rotate

if TYPE_CHECKING:
    from flux2.architecture.transformer import Flux2TransformerConfig


class Modulation(NamedTuple):
    """What one timestep does to every block: shifts, scales and gates, each [1, 1, k · width]."""

    image: mx.array
    """(shift, scale, gate) of the attention, then of the feed-forward; k = 6."""
    text: mx.array
    single: mx.array
    """(shift, scale, gate); k = 3."""
    out: mx.array
    """(scale, shift) of the last norm; k = 2."""


class KeyValues(NamedTuple):
    """Keys, normalised and turned, and values of some tokens in one block, each [batch, tokens, heads, head_dim]."""

    keys: mx.array
    values: mx.array

    def beside(self, others: KeyValues | None) -> KeyValues:
        """These and those of other tokens, if there are any: the order of what is attended to has no meaning."""
        if others is None:
            return self
        return KeyValues(*(mx.concatenate([own, other], axis=1) for own, other in zip(self, others, strict=True)))


class TransformerBlock(nn.Module):
    """Double-stream block: image and text have their own weights and meet in the attention."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        self._eps = config.eps
        self.attn = JointAttention(config)
        self.ff = FeedForward(config)
        self.ff_context = FeedForward(config)

    def attend(
        self,
        image: mx.array,
        text: mx.array,
        modulation: Modulation,
        rotation: PairRotation,
        evaluate: Evaluate,
        others: KeyValues | None = None,
    ) -> tuple[mx.array, mx.array]:
        """Image and text after the attention.

        Args:
            others: tokens that are attended to besides.
        """
        shift, scale, gate, *_ = mx.split(modulation.image, 6, axis=-1)
        text_shift, text_scale, text_gate, *_ = mx.split(modulation.text, 6, axis=-1)
        attended, attended_text = self.attn(
            modulated_norm(image, shift, scale, self._eps),
            modulated_norm(text, text_shift, text_scale, self._eps),
            rotation,
            evaluate,
            others,
        )
        return add_gated(image, gate, attended), add_gated(text, text_gate, attended_text)

    def attend_alone(
        self, image: mx.array, modulation: Modulation, rotation: PairRotation, evaluate: Evaluate
    ) -> tuple[mx.array, KeyValues]:
        """Image tokens after an attention to each other alone, and their keys and values."""
        shift, scale, gate, *_ = mx.split(modulation.image, 6, axis=-1)
        attended, made = self.attn.alone(modulated_norm(image, shift, scale, self._eps), rotation, evaluate)
        return add_gated(image, gate, attended), made

    def feed_forward(self, image: mx.array, modulation: Modulation) -> mx.array:
        """The image after its feed-forward."""
        *_, shift, scale, gate = mx.split(modulation.image, 6, axis=-1)
        return add_gated(image, gate, self.ff(modulated_norm(image, shift, scale, self._eps)))

    def feed_forward_context(self, text: mx.array, modulation: Modulation) -> mx.array:
        """The text after its own."""
        *_, shift, scale, gate = mx.split(modulation.text, 6, axis=-1)
        return clip_float16(add_gated(text, gate, self.ff_context(modulated_norm(text, shift, scale, self._eps))))


class JointAttention(nn.Module):
    """Attention of text and image tokens over both."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        width, head_dim = config.width, config.attention_head_dim
        self._head_dim = head_dim
        for name in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            setattr(self, name, nn.Linear(width, width, bias=False))
        for name in ("norm_q", "norm_k", "norm_added_q", "norm_added_k"):
            setattr(self, name, nn.RMSNorm(head_dim, config.eps))
        self.to_out = [nn.Linear(width, width, bias=False)]

    def __call__(
        self,
        image: mx.array,
        text: mx.array,
        rotation: PairRotation,
        evaluate: Evaluate,
        others: KeyValues | None = None,
    ) -> tuple[mx.array, mx.array]:
        text_tokens = text.shape[1]
        q, k, v = self._project(image, text, rotation)
        evaluate(q, k, v)
        del image, text
        attended = attend(q, *KeyValues(k, v).beside(others))
        return self.to_out[0](attended[:, text_tokens:]), self.to_add_out(attended[:, :text_tokens])

    def alone(self, image: mx.array, rotation: PairRotation, evaluate: Evaluate) -> tuple[mx.array, KeyValues]:
        """Attention of image tokens to each other, and their keys and values."""
        q, k, v = self._project_image(image, rotation)
        evaluate(q, k, v)
        return self.to_out[0](attend(q, k, v)), KeyValues(k, v)

    def _project(self, image: mx.array, text: mx.array, rotation: PairRotation) -> tuple[mx.array, mx.array, mx.array]:
        """Queries, keys and values of text and image tokens, in this order: [batch, tokens, heads, head_dim]."""
        text_q, text_k, text_v = (
            self._heads(proj(text)) for proj in (self.add_q_proj, self.add_k_proj, self.add_v_proj)
        )
        of_text, of_image = rotation.split(text.shape[1])
        text_q = normalise_and_rotate(self.norm_added_q, text_q, of_text)
        text_k = normalise_and_rotate(self.norm_added_k, text_k, of_text)
        q, k, v = self._project_image(image, of_image)
        pairs = ((text_q, q), (text_k, k), (text_v, v))
        q, k, v = (mx.concatenate([text_part, image_part], axis=1) for text_part, image_part in pairs)
        return q, k, v

    def _project_image(self, image: mx.array, rotation: PairRotation) -> tuple[mx.array, mx.array, mx.array]:
        """Queries, keys and values of image tokens."""
        q, k, v = (self._heads(proj(image)) for proj in (self.to_q, self.to_k, self.to_v))
        return normalise_and_rotate(self.norm_q, q, rotation), normalise_and_rotate(self.norm_k, k, rotation), v

    def _heads(self, x: mx.array) -> mx.array:
        return x.reshape(*x.shape[:-1], -1, self._head_dim)


class FeedForward(nn.Module):
    """SwiGLU with gate and value in one projection, the gate first."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        self.linear_in = nn.Linear(config.width, 2 * config.mlp_width, bias=False)
        self.linear_out = nn.Linear(config.mlp_width, config.width, bias=False)

    def __call__(self, x: mx.array) -> mx.array:
        return self.linear_out(gated_silu(*mx.split(self.linear_in(x), 2, axis=-1)))


class SingleTransformerBlock(nn.Module):
    """Single-stream block: text and image share weights; attention and feed-forward run side by side."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        self._eps = config.eps
        self.attn = ParallelSelfAttention(config)

    def __call__(
        self,
        joint: mx.array,
        modulation: mx.array,
        rotation: PairRotation,
        evaluate: Evaluate,
        others: KeyValues | None = None,
    ) -> mx.array:
        """The tokens after the block.

        Args:
            others: tokens that are attended to besides.
        """
        return self.with_keys_and_values(joint, modulation, rotation, evaluate, others)[0]

    def with_keys_and_values(
        self,
        joint: mx.array,
        modulation: mx.array,
        rotation: PairRotation,
        evaluate: Evaluate,
        others: KeyValues | None = None,
    ) -> tuple[mx.array, KeyValues]:
        """The tokens after the block, and their keys and values within it."""
        shift, scale, gate = mx.split(modulation, 3, axis=-1)
        update, made = self.attn(modulated_norm(joint, shift, scale, self._eps), rotation, evaluate, others)
        return clip_float16(add_gated(joint, gate, update)), made


class ParallelSelfAttention(nn.Module):
    """Attention and SwiGLU fed by one projection and gathered by another (ViT-22B's parallel block)."""

    def __init__(self, config: Flux2TransformerConfig) -> None:
        super().__init__()
        width, mlp_width = config.width, config.mlp_width
        self._head_dim = config.attention_head_dim
        self._mlp_begins = 3 * width  # among the projection's outputs, after q, k and v
        self.to_qkv_mlp_proj = nn.Linear(width, 3 * width + 2 * mlp_width, bias=False)
        self.norm_q = nn.RMSNorm(config.attention_head_dim, config.eps)
        self.norm_k = nn.RMSNorm(config.attention_head_dim, config.eps)
        self.to_out = nn.Linear(width + mlp_width, width, bias=False)

    def __call__(
        self, x: mx.array, rotation: PairRotation, evaluate: Evaluate, others: KeyValues | None = None
    ) -> tuple[mx.array, KeyValues]:
        qkv = outputs(self.to_qkv_mlp_proj, x, stop=self._mlp_begins)
        q, k, v = (part.reshape(*part.shape[:-1], -1, self._head_dim) for part in mx.split(qkv, 3, axis=-1))
        q, k = normalise_and_rotate(self.norm_q, q, rotation), normalise_and_rotate(self.norm_k, k, rotation)
        v = mx.contiguous(v)  # else it would keep all of the projection
        del qkv
        evaluate(q, k, v)
        gated = gated_silu(*mx.split(outputs(self.to_qkv_mlp_proj, x, start=self._mlp_begins), 2, axis=-1))
        del x
        evaluate(gated)
        made = KeyValues(k, v)
        return self.to_out(mx.concatenate([attend(q, *made.beside(others)), gated], axis=-1)), made


def modulated_norm(x: mx.array, shift: mx.array, scale: mx.array, eps: float) -> mx.array:
    """Layer norm whose weight and bias come from the modulation, [1, 1, width]."""
    return mx.fast.layer_norm(x, (1 + scale).flatten(), shift.flatten(), eps)
