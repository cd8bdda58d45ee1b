"""The engine equals diffusers + PyTorch: the same checkpoint, prompt and noise give the same picture, in float32."""

from __future__ import annotations

import engine
import numpy as np
import pytest
from compare import relative_distance
from recordings import ALL_RUNS, RUNS_WITH_BLOCKS, recording

from flux2 import Flux2Pipeline
from flux2 import events as ev
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.checkpoint.layout import open_checkpoint
from flux2.encode.prompt import sequence_length, tokenize
from flux2.encode.tokenizing import load_tokenizer


@pytest.mark.parametrize("name", ALL_RUNS)
def test_every_step_and_the_picture(name: str) -> None:
    run = recording(name)
    assert engine.differences(run, engine.generate(run), engine.encode(run)) == {}


@pytest.mark.parametrize("name", ["distilled/wide", "base/guided", "dev/tall"])
def test_a_seed_draws_what_it_draws_in_diffusers(name: str) -> None:
    """The recordings' noise is that of `torch.Generator("cpu")` with the run's seed, which alone is handed over."""
    run = recording(name)
    seed = run.arguments["seed"]
    assert engine.differences(run, engine.generate(run, latents=None, seed=seed), {}) == {}
    assert "image" in engine.differences(run, engine.generate(run, latents=None, seed=seed + 1), {})


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", RUNS_WITH_BLOCKS)
def test_fewer_bits_cost_what_they_cost_diffusers(name: str, dtype: str) -> None:
    """Rounding errors don't agree element by element; their size does. Measured: 0.99 to 1.01 times diffusers'."""
    run = recording(name)
    latents = engine.generate(run, dtype=dtype).latents
    assert relative_distance(latents[-1], run["latents"][-1]) <= 1.1 * run.half_precision[dtype]


@pytest.mark.parametrize("name", ALL_RUNS)
def test_tokens(name: str) -> None:
    run = recording(name)
    tokenizer = load_tokenizer(run.checkpoint / "tokenizer")
    form = TEXT_ENCODERS[open_checkpoint(run.checkpoint).text_encoder.class_name].prompt_form
    ours = tokenize(tokenizer, run.arguments["prompt"], form, run.arguments["max_sequence_length"])
    np.testing.assert_array_equal(ours.input_ids, run["input_ids"])
    np.testing.assert_array_equal(ours.attention_mask, run["attention_mask"])


@pytest.mark.parametrize(
    ("name", "length"), [("distilled/square", 512), ("base/guided", 64), ("odd/tall", 48), ("dev/tall", 512)]
)
def test_the_text_length_is_the_tokenizers(name: str, length: int) -> None:
    assert sequence_length(load_tokenizer(recording(name).checkpoint / "tokenizer")) == length


def test_a_run_takes_the_tokenizers_text_length_unless_told() -> None:
    run = recording("odd/tall")
    assert engine.differences(run, engine.generate(run, max_sequence_length=None), {}) == {}
    assert "image" in engine.differences(run, engine.generate(run, max_sequence_length=64), {})


def test_an_empty_negative_prompt_is_the_default() -> None:
    run = recording("base/guided")
    assert run.arguments["negative_prompt"] is None
    assert engine.differences(run, engine.generate(run, negative_prompt=""), {}) == {}
    assert "image" in engine.differences(run, engine.generate(run, negative_prompt="a red fox"), {})


@pytest.mark.parametrize("name", ["odd/cut", "dev/cut"])
def test_a_prompt_that_is_too_long_is_cut_where_diffusers_cuts_it(name: str) -> None:
    run = recording(name)
    assert run["attention_mask"].all()
    seen: list[ev.Event] = []
    ours = engine.generate(run, on_event=seen.append)
    assert engine.differences(run, ours, {}) == {}
    assert any("prompt" in event.message for event in seen if isinstance(event, ev.Warned))


def test_the_kept_embeddings_of_a_prompt_give_the_same_picture() -> None:
    run = recording("base/negative")
    pipe = Flux2Pipeline.from_pretrained(run.checkpoint, dtype="float32")
    arguments = {name: run.arguments[name] for name in engine.ARGUMENTS}
    first, second = (np.asarray(pipe(**arguments, latents=run["noise"]).images[0]) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_devs_guidance_is_an_input_and_its_negative_prompt_none() -> None:
    run = recording("dev/tall")
    seen: list[ev.Event] = []
    ours = engine.generate(run, negative_prompt="snow", on_event=seen.append)
    assert engine.differences(run, ours, {}) == {}
    warnings = [event.message for event in seen if isinstance(event, ev.Warned)]
    assert warnings == ["This model is distilled; the negative prompt does nothing."]
    assert "image" in engine.differences(run, engine.generate(run, guidance_scale=4.0), {})
