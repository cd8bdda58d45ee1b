"""A prompt's tokens, counted by the embedded model's tokenizer and refused where there is none."""

from __future__ import annotations

from pathlib import Path

from flux2.encode.token_count import TokenCounter


def test_the_embedded_models_tokens_are_those_that_a_run_reads() -> None:
    counter = TokenCounter()
    short, limit = counter.count("pocket", "a red fox") or (0, 0)
    longer, _ = counter.count("pocket", "a red fox in the snow") or (0, 0)
    assert 3 <= short < longer <= limit
    far, _ = counter.count("pocket", "a fox in the snow " * 100) or (0, 0)
    assert far > 400


def test_what_is_not_on_this_machine_is_not_counted(tmp_path: Path) -> None:
    assert TokenCounter().count("nobody/nothing", "a red fox") is None
    assert TokenCounter().count(str(tmp_path), "a red fox") is None
