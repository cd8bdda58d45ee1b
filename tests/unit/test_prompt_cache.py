"""Prompt embeddings on the disk: found again exactly, never mixed up, never believed when damaged, never too many."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux2.backend.mlx import mx
from flux2.checkpoint import array_cache
from flux2.encode.prompt_cache import EncodedPrompt, PromptCache, fingerprint


def encoded(value: float = 0.0, dtype: mx.Dtype = mx.float32) -> EncodedPrompt:
    return EncodedPrompt((mx.random.normal((1, 16, 24)) + value).astype(dtype), dropped=3)


@pytest.fixture
def cache(tmp_path: Path) -> PromptCache:
    return PromptCache("encoder", tmp_path / "prompts")


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16, mx.float16])
def test_finds_exactly_what_it_kept(cache: PromptCache, dtype: mx.Dtype) -> None:
    kept = encoded(dtype=dtype)
    cache.keep("a fox", None, kept)
    found = cache.find("a fox", None)
    assert found is not None
    assert found.embeddings.dtype == dtype
    assert mx.array_equal(found.embeddings, kept.embeddings)
    assert found.dropped == 3


def test_mixes_nothing_up(cache: PromptCache) -> None:
    cache.keep("a fox", None, encoded())
    assert cache.find("a fox ", None) is None
    assert cache.find("a fox", 16) is None
    assert PromptCache("another encoder", cache.folder).find("a fox", None) is None


def test_fingerprint_follows_files_and_facts(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"12")
    first = fingerprint([file], "float32")
    assert fingerprint([file], "float32") == first
    assert fingerprint([file], "bfloat16") != first
    os.utime(file, ns=(1, 1))
    assert fingerprint([file], "float32") != first
    file.write_bytes(b"123")
    os.utime(file, ns=(1, 1))
    second = fingerprint([file], "float32")
    file.write_bytes(b"12")
    os.utime(file, ns=(1, 1))
    assert fingerprint([file], "float32") != second


@pytest.mark.parametrize("content", [b"", b"garbage" * 20, None])
def test_a_damaged_entry_is_a_missing_one(cache: PromptCache, content: bytes | None) -> None:
    cache.keep("a fox", None, encoded())
    (file,) = cache.folder.iterdir()
    file.write_bytes(file.read_bytes()[:-1] if content is None else content)
    assert cache.find("a fox", None) is None
    cache.keep("a fox", None, encoded())
    assert cache.find("a fox", None) is not None


def test_drops_those_used_longest_ago(tmp_path: Path) -> None:
    roomy = PromptCache("encoder", tmp_path)
    for age, prompt in enumerate(("oldest", "old", "new")):
        roomy.keep(prompt, None, encoded())
        os.utime(roomy._path(prompt, None), ns=(age, age))
    assert roomy.find("oldest", None) is not None  # and is thereby the newest
    size = next(tmp_path.iterdir()).stat().st_size
    PromptCache("encoder", tmp_path, max_bytes=3 * size).keep("newest", None, encoded())
    assert roomy.find("old", None) is None
    assert all(roomy.find(prompt, None) is not None for prompt in ("oldest", "new", "newest"))


def test_a_disk_that_cannot_be_written_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    cache = PromptCache("encoder", tmp_path / "file" / "prompts")
    cache.keep("a fox", None, encoded())
    assert cache.find("a fox", None) is None


def test_a_failed_write_leaves_nothing(cache: PromptCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def half_written(path: Path, *_: object) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(array_cache, "write", half_written)
    cache.keep("a fox", None, encoded())
    assert list(cache.folder.iterdir()) == []
