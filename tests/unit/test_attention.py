"""Attention by chunks of queries against MLX's own."""

from __future__ import annotations

import pytest

from flux2.architecture import limits
from flux2.backend.mlx import mx
from flux2.models import attention
from flux2.models.attention import attend


def random_heads(tokens: int, heads: int, seed: int) -> mx.array:
    return mx.random.normal((2, tokens, heads, 16), key=mx.random.key(seed))


def take_the_branch(monkeypatch: pytest.MonkeyPatch, on_cpu: bool, chunk_bytes: int) -> None:
    """Take the CPU's branch, or a GPU's for heads that it has no fused kernel for; each computed here."""
    monkeypatch.setattr(attention, "on_cpu", lambda: on_cpu)
    monkeypatch.setattr(attention, "FUSED_HEADS", ())
    for device in ("cpu", "gpu"):
        monkeypatch.setitem(limits.SCORES_BYTES, device, chunk_bytes)


def reference(q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
    q, k, v = (part.swapaxes(1, 2) for part in (q, k, v))
    return mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask=mask).swapaxes(1, 2).flatten(-2)


@pytest.mark.parametrize("chunk_bytes", [1, 4 * 2 * 4 * 11 * 3, 1 << 30])  # one query, three, all
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("on_cpu", [False, True])
def test_chunks_change_nothing(
    monkeypatch: pytest.MonkeyPatch, chunk_bytes: int, shared: bool, masked: bool, on_cpu: bool
) -> None:
    take_the_branch(monkeypatch, on_cpu, chunk_bytes)
    q, k, v = random_heads(11, 4, 0), *(random_heads(11, 2 if shared else 4, seed) for seed in (1, 2))
    mask = mx.broadcast_to(mx.tri(11, dtype=mx.bool_), (2, 1, 11, 11)) if masked else None
    assert mx.allclose(attend(q, k, v, mask), reference(q, k, v, mask), rtol=1e-5, atol=1e-6)


def test_a_mask_hides_keys() -> None:
    q, k, v = (random_heads(11, 4, seed) for seed in (0, 1, 2))
    mask = mx.broadcast_to(mx.tri(11, dtype=mx.bool_), (2, 1, 11, 11))
    changed = mx.concatenate([v[:, :-1], v[:, -1:] + 1], axis=1)
    before, after = attend(q, k, v, mask), attend(q, k, changed, mask)
    assert mx.array_equal(before[:, :-1], after[:, :-1])
    assert not mx.allclose(before[:, -1], after[:, -1])


def test_padding_at_either_end_hides_keys_and_leaves_some_queries_without_any() -> None:
    q, k, v = (random_heads(11, 4, seed) for seed in (0, 1, 2))
    ends = mx.array([[0, 0, 0] + [1] * 8, [1] * 4 + [0] * 7])
    mask = mx.tri(11, dtype=mx.bool_) & ends.astype(mx.bool_)[:, None, None]
    found, wanted = attend(q, k, v, mask), reference(q, k, v, mask)
    assert mx.allclose(found[0, 3:], wanted[0, 3:], rtol=1e-5, atol=1e-6)
    assert mx.allclose(found[1], wanted[1], rtol=1e-5, atol=1e-6)
    assert mx.isfinite(found).all()


def test_large_scores_stay_finite() -> None:
    q, k, v = (1000 * random_heads(11, 4, seed) for seed in (0, 1, 2))
    assert mx.isfinite(attend(q, k, v)).all()


@pytest.mark.parametrize("on_cpu", [False, True])
def test_memory_is_bounded_by_a_chunk(monkeypatch: pytest.MonkeyPatch, on_cpu: bool) -> None:
    take_the_branch(monkeypatch, on_cpu, 1 << 20)
    q = mx.random.normal((1, 2048, 1, 64), key=mx.random.key(0))  # all scores: 16 MiB
    mx.eval(q)
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    mx.eval(attend(q, q, q))
    assert mx.get_peak_memory() - before < 6 << 20
