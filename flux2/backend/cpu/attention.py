"""Attention on the CPU backend: a head's scores of some queries at a time, which stay in the processor's cache.

MLX's softmax takes 12 ns a score there; NumPy's exponential, in place and by blocks, 2 (AMD EPYC).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
import numpy.typing as npt

from flux2.architecture import limits
from flux2.backend.cpu.threads import for_each
from flux2.backend.mlx import mx

_BLOCK = 1 << 16
"""Scores that a thread exponentiates at a time."""

_Floats = npt.NDArray[np.float32]


def attend_on_cpu(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
    """[batch, heads, tokens, head_dim] → the same, evaluated; for what the arguments are see `attention.attend`."""
    batch, heads, _, head_dim = q.shape
    shared_by = heads // k.shape[1]
    q = q * head_dim**-0.5
    attended = []
    for i, head in product(range(batch), range(heads)):
        keys, values = k[i, head // shared_by], v[i, head // shared_by]
        chunks = _attend(q[i, head], keys, values, None if mask is None else mask[i, 0])
        attended.append(mx.concatenate(list(chunks)))
    return mx.stack(attended).reshape(q.shape)


def _attend(q: mx.array, keys: mx.array, values: mx.array, mask: mx.array | None) -> Iterator[mx.array]:
    """Attention of one head's scaled queries, [some queries, features] chunk by chunk."""
    rows = max(1, limits.SCORES_BYTES["cpu"] // (4 * len(keys)))
    for top in range(0, len(q), rows):
        visible = None if mask is None else mask[top : top + rows]
        seen = _seen_keys(visible)
        scores = q[top : top + rows] @ keys[seen].T
        if visible is not None:
            scores = mx.where(visible[:, seen], scores, mx.finfo(scores.dtype).min)
        weights = scores.astype(mx.float32)
        del scores
        mx.eval(weights)
        sums = mx.array(_exponentiate(np.asarray(weights))).astype(values.dtype)
        chunk = (weights.astype(values.dtype) @ values[seen]) / sums
        mx.eval(chunk)
        yield chunk


def _seen_keys(visible: mx.array | None) -> slice:
    """Range of the keys that any of these queries may see, from the first to the last: the others have no weight."""
    if visible is None:
        return slice(None)
    seen = np.flatnonzero(np.asarray(visible).any(axis=0))
    return slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)


def _exponentiate(scores: _Floats) -> _Floats:
    """e^(score − the row's greatest) in the scores' place; returns the sum of each row, [rows, 1]."""
    sums = np.empty((len(scores), 1), np.float32)
    rows = max(1, _BLOCK // scores.shape[1])

    def block(top: int) -> None:
        some = scores[top : top + rows]
        some -= some.max(axis=1, keepdims=True)
        np.exp(some, out=some)
        some.sum(axis=1, keepdims=True, out=sums[top : top + rows])

    for_each(range(0, len(scores), rows), block)
    return sums
