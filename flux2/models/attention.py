"""Attention, by MLX's fused kernels where there is one, and otherwise by chunks of queries in bounded memory."""

from __future__ import annotations

from flux2.architecture import limits
from flux2.backend.cpu.attention import attend_on_cpu
from flux2.backend.mlx import mx, on_cpu
from flux2.models.evaluation import evaluate_next

FUSED_HEADS = (64, 80, 96, 128)
"""Features per head for which MLX's GPU backends have a fused kernel and take it; for others, among them 192 and 256 on
Metal, it would hold every score at once (1 GiB for the autoencoder at 1024×1024)."""


def attend(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None = None) -> mx.array:
    """softmax(q·kᵀ / √head_dim)·v of [batch, tokens, heads, head_dim] → [batch, tokens, heads · head_dim].

    Args:
        q, k, v: keys and values may have fewer heads, each shared by as many neighbouring query heads.
        mask: which key each query may see, bool [batch, 1, queries, keys].
    """
    q, k, v = (part.swapaxes(1, 2) for part in (q, k, v))
    if on_cpu():
        attended = attend_on_cpu(q, k, v, mask)
    elif q.shape[-1] not in FUSED_HEADS:
        attended = _attend_by_chunks(q, k, v, mask)
    else:
        attended = mx.fast.scaled_dot_product_attention(q, k, v, scale=q.shape[-1] ** -0.5, mask=mask)
    return attended.swapaxes(1, 2).flatten(-2)


def _attend_by_chunks(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
    """[batch, heads, tokens, head_dim] → the same; each chunk of queries is evaluated before the next begins."""
    batch, heads, queries, head_dim = q.shape
    shared_by = heads // k.shape[1]
    keys, values = (mx.repeat(part, shared_by, axis=1) for part in (k.swapaxes(2, 3), v))
    q = q * head_dim**-0.5
    rows = max(1, limits.SCORES_BYTES["gpu"] // (4 * batch * heads * keys.shape[-1]))
    chunks: list[mx.array] = []
    for top in range(0, queries, rows):
        visible = None if mask is None else mask[:, :, top : top + rows]
        chunks.append(_attend(q[:, :, top : top + rows], keys, values, visible))
        evaluate_next(chunks[-1], chunks[-2] if top else None)
    return mx.concatenate(chunks, axis=2)


def _attend(q: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> mx.array:
    """Attention of scaled queries to keys whose last two axes are swapped."""
    scores = q @ keys
    if mask is not None:
        scores = mx.where(mask, scores, mx.finfo(scores.dtype).min)
    return mx.softmax(scores, axis=-1, precise=True) @ values
