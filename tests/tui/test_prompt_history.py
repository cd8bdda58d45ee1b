"""The prompts of yesterday, and the one that is being written."""

from __future__ import annotations

from pathlib import Path

from tui.state.prompt_history import PromptHistory


def test_it_walks_back_and_the_draft_waits_at_the_end(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.jsonl")
    for prompt in ("first", "second"):
        history.add(prompt)
    assert history.older("half a thou") == "second"
    assert history.position == (2, 2)
    assert history.older("second") == "first"
    assert history.older("first") is None
    assert history.newer() == "second"
    assert history.newer() == "half a thou"
    assert history.newer() is None
    assert history.position is None


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "prompts.jsonl"
    PromptHistory(path).add("two\nlines and an “ö”")
    assert PromptHistory(path).older("") == "two\nlines and an “ö”"


def test_the_same_prompt_again_is_kept_once(tmp_path: Path) -> None:
    history = PromptHistory(tmp_path / "prompts.jsonl")
    for prompt in ("a", "a", "  ", "b", "a"):
        history.add(prompt)
    assert history.entries == ["a", "b", "a"]


def test_a_line_cut_short_costs_that_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "kept"}\n{"prompt": 3}\n[]\n{"pro')
    assert PromptHistory(path).entries == ["kept"]


def test_two_screens_write_into_one_file(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    one, two = PromptHistory(path), PromptHistory(path)
    one.add("of the one")
    two.add("of the two")
    assert PromptHistory(path).entries == ["of the one", "of the two"]


def test_damaged_bytes_and_a_cut_line_cost_no_other_prompt(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_bytes(b'{"prompt": "first"}\n\xff\xfe\n' + b"[" * 9999 + b'\n{"prompt": "second"}\n{"prom')
    history = PromptHistory(path)
    history.add("third\u2028and \x85 more \udce9")
    assert PromptHistory(path).entries == ["first", "second", "third\u2028and \x85 more \udce9"]
