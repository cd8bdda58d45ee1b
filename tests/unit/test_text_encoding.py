"""The streamed text encoder gives the whole one's numbers in a fraction of its memory; no prompt is encoded twice."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flux2 import events as ev
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.backend.mlx import mx
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import NetworkSource
from flux2.encode import text_encoding
from flux2.encode.prompt import TokenizedPrompt, tokenize
from flux2.encode.streamed_text_encoder import encode_streamed
from flux2.encode.text_encoding import PromptEncoder
from flux2.encode.tokenizing import load_tokenizer
from flux2.reporting import RunReport

RECORDINGS = Path(__file__).parents[1] / "parity" / "recordings"
TOKENS = 24  # few, to be quick: text and padding
CHECKPOINTS = {name: RECORDINGS / name / "checkpoint" for name in ("base", "distilled", "odd", "dev")}
"""Small random ones: weights of one file and of several, queries that share keys and that don't, Qwen3 and Mistral."""


def source_of(folder: Path) -> NetworkSource:
    return NetworkSource.check_text_encoder(open_checkpoint(folder))


def tokens_of(folder: Path, *prompts: str, length: int = TOKENS) -> list[TokenizedPrompt]:
    tokenizer = load_tokenizer(folder / "tokenizer")
    form = TEXT_ENCODERS[open_checkpoint(folder).text_encoder.class_name].prompt_form
    return [tokenize(tokenizer, prompt, form, length) for prompt in prompts]


@pytest.mark.parametrize("dtype", [mx.float32, mx.bfloat16])
@pytest.mark.parametrize("folder", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_streamed_is_bit_for_bit_the_whole(folder: Path, dtype: mx.Dtype) -> None:
    source = source_of(folder)
    prompts = tokens_of(folder, "a fox", "")
    whole = source.load(dtype)
    for prompt, found in zip(prompts, encode_streamed(source, prompts, dtype), strict=True):
        expected = whole(mx.array(prompt.input_ids), mx.array(prompt.attention_mask))
        assert found.dtype == expected.dtype
        assert mx.array_equal(found, expected)


@pytest.mark.parametrize(("model", "divisor"), [("klein-4b", 4), ("dev", 8)])
def test_holds_no_more_than_two_pieces_of_a_layer(model: str, divisor: int, tmp_path: Path) -> None:
    folder = write_synthetic(model, tmp_path / "small", divisor)
    source = source_of(folder)
    layer = {info.name: info.nbytes for info in source.plan.tensors if info.name.startswith("model.layers.0.")}
    attention = sum(nbytes for name, nbytes in layer.items() if "self_attn" in name)
    matrix = max(nbytes for name, nbytes in layer.items() if "mlp" in name)
    tokens = tokens_of(folder, "a fox")
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    encode_streamed(source, tokens, mx.bfloat16)
    peak = mx.get_peak_memory() - before
    activations = 2 * TOKENS * (4 * source.config.intermediate_size + 8 * source.config.hidden_size) + 2**20
    assert peak <= max(2 * matrix, attention + matrix) + activations
    assert peak < source.plan.nbytes / 10


def test_the_real_size_passes_through_a_quarter_of_a_gigabyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Layers of Qwen3-4B as klein-4b has it; three of 27 that are alike, and a few tokens only, to be quick."""
    row = TEXT_ENCODERS["Qwen3ForCausalLM"]
    three = replace(row, read=lambda config: replace(row.read(config), hidden_states_layers=(1, 2, 3)))
    monkeypatch.setitem(TEXT_ENCODERS, row.class_name, three)
    folder = write_synthetic("klein-4b", tmp_path / "klein-4b")
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    (embeddings,) = encode_streamed(source_of(folder), tokens_of(folder, "a fox", length=8), mx.float32)
    peak = (mx.get_peak_memory() - before) / 2**20
    print(f"klein-4b: text encoding peak {peak:.0f} MiB, 8 tokens in float32")
    assert peak <= 250
    assert embeddings.shape == (1, 8, 7680)
    assert mx.isfinite(embeddings).all().item()


def test_stops_between_layers_when_told() -> None:
    folder = CHECKPOINTS["odd"]
    done = 0

    def stop_at_third(_: mx.array) -> None:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_streamed(source_of(folder), tokens_of(folder, "a fox"), mx.float32, stop_at_third)
    assert done == 3


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint whose files may be changed, and a cache folder of its own."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return Path(shutil.copytree(CHECKPOINTS["odd"], tmp_path / "checkpoint"))


@pytest.fixture
def encoder(folder: Path) -> Callable[[], PromptEncoder]:
    """Makes what a new process would have: nothing in memory."""
    return lambda: PromptEncoder(source_of(folder), folder / "tokenizer", mx.float32)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many prompts the text encoder was given each time it ran."""
    runs: list[int] = []

    def counting(source: NetworkSource, prompts: list[TokenizedPrompt], *rest: object) -> list[mx.array]:
        runs.append(len(prompts))
        return encode_streamed(source, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(text_encoding, "encode_streamed", counting)
    return runs


def test_a_known_prompt_needs_no_text_encoder(encoder: Callable[[], PromptEncoder], encoded: list[int]) -> None:
    first = encoder()
    assert not first.knows(["a fox", ""], TOKENS)
    embeddings = first.encode(["a fox", ""], TOKENS, RunReport())
    again = first.encode(["a fox", ""], TOKENS, RunReport())
    second = encoder()
    assert second.knows(["a fox", ""], TOKENS)
    events: list[ev.Event] = []
    from_disk = second.encode(["a fox", ""], TOKENS, RunReport(on_event=events.append))
    assert encoded == [2]
    assert events == []
    for ours, theirs, third in zip(embeddings, again, from_disk, strict=True):
        assert mx.array_equal(ours, theirs)
        assert mx.array_equal(ours, third)


def test_only_what_is_new_is_encoded(encoder: Callable[[], PromptEncoder], encoded: list[int]) -> None:
    encoder().encode([""], TOKENS, RunReport())
    encoder().encode(["a fox", ""], TOKENS, RunReport())
    encoder().encode(["", ""], TOKENS, RunReport())
    assert encoded == [1, 1]


@pytest.mark.parametrize("file", ["text_encoder/model.safetensors", "tokenizer/tokenizer_config.json"])
def test_changed_files_are_another_encoder(
    folder: Path, encoder: Callable[[], PromptEncoder], encoded: list[int], file: str
) -> None:
    encoder().encode(["a fox"], TOKENS, RunReport())
    os.utime(folder / file, ns=(1, 1))
    assert not encoder().knows(["a fox"], TOKENS)
    encoder().encode(["a fox"], TOKENS, RunReport())
    assert encoded == [1, 1]


def test_another_length_is_another_prompt(encoder: Callable[[], PromptEncoder], encoded: list[int]) -> None:
    first = encoder()
    first.encode(["a fox"], TOKENS, RunReport())
    assert first.encode(["a fox"], 16, RunReport())[0].shape[1] == 16
    assert encoded == [1, 1]


def test_a_cut_prompt_is_warned_of_every_time(encoder: Callable[[], PromptEncoder], encoded: list[int]) -> None:
    warnings: list[list[ev.Event]] = []
    for _ in range(2):
        events: list[ev.Event] = []
        encoder().encode(["a fox in the snow " * 40], 16, RunReport(on_event=events.append))
        warnings.append([event for event in events if isinstance(event, ev.Warned)])
    assert encoded == [1]
    assert [len(told) for told in warnings] == [1, 1]


def test_memory_holds_the_last_prompts_only(encoder: Callable[[], PromptEncoder], encoded: list[int]) -> None:
    first = encoder()
    for prompt in ("one", "two", "three"):
        first.encode([prompt], TOKENS, RunReport())
    assert [prompt for prompt, _ in first._kept] == ["three"]
    first.forget()
    assert first.knows(["one"], TOKENS)  # the disk's
    assert encoded == [1, 1, 1]


@pytest.mark.parametrize("folder", CHECKPOINTS.values(), ids=CHECKPOINTS)
def test_a_resident_text_encoder_is_loaded_once_and_gives_the_same_numbers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    source = source_of(folder)
    loads: list[mx.Dtype] = []
    load = NetworkSource.load

    def counted(source: NetworkSource, dtype: mx.Dtype, **how: Any) -> Any:
        loads.append(dtype)
        return load(source, dtype, **how)

    monkeypatch.setattr(NetworkSource, "load", counted)
    streamed = PromptEncoder(source, folder / "tokenizer", mx.float32).encode(["a fox", ""], TOKENS, RunReport())
    shutil.rmtree(tmp_path / "cache" / "prompts")
    encoder = PromptEncoder(source, folder / "tokenizer", mx.float32, resident=True)
    report = RunReport()
    resident = [encoder.encode([prompt], TOKENS, report)[0] for prompt in ("a fox", "")]
    assert all(map(mx.array_equal, streamed, resident))
    assert loads == [mx.float32]
    kept = mx.get_active_memory()
    assert source.plan.nbytes < kept <= report.peaks["encode"]
    encoder.forget()
    gc.collect()
    assert mx.get_active_memory() <= kept - source.plan.nbytes
    encoder.encode(["another"], TOKENS, report)
    encoder.keep_resident(False)
    encoder.encode(["and another"], TOKENS, report)
    assert loads == [mx.float32] * 2
