"""Streamed blocks: the resident network's numbers, each block read once per step and ahead, little held, clean ends."""

from __future__ import annotations

import os
import shutil
import threading
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from flux2 import events as ev
from flux2.architecture.transformer import CONDITIONING_PARTS
from flux2.backend.mlx import mx
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint import safetensors_file
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.loading import CheckpointWeights
from flux2.checkpoint.networks import TRANSFORMER, NetworkSource
from flux2.checkpoint.safetensors_file import read_tensor
from flux2.denoise.noise import torch_noise
from flux2.denoise.schedule import SchedulerConfig
from flux2.denoise.steps import DenoisingPlan, condition, denoise, pack
from flux2.denoise.streamed_transformer import first_bytes, streamed_transformer
from flux2.denoise.transformer_loading import TransformerLoader
from flux2.errors import CheckpointError, GenerationCancelled, RequestError
from flux2.models.evaluation import HeadStart
from flux2.paths import pocket_checkpoint
from flux2.pipeline import Flux2Pipeline
from flux2.quantization.from_disk import find_prequantized
from flux2.quantization.linear import MODES
from flux2.quantization.to_disk import quantize_transformer
from flux2.reporting import RunReport
from tests.unit.checkpoints import resident, writable_copy
from tests.unit.test_quanto import as_quanto, with_transformer

SMALL: dict[str, Any] = {"height": 64, "width": 96, "num_inference_steps": 2, "seed": 7}
STEPS = 2
SHARD = "diffusion_pytorch_model-00002-of-00002.safetensors"
MIB = 2**20


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))


def source_of(folder: Path) -> NetworkSource:
    return NetworkSource.check(open_checkpoint(folder), TRANSFORMER)


def plan_for(
    source: NetworkSource, prompts: int = 1, steps: int = STEPS, dtype: mx.Dtype = mx.float32
) -> DenoisingPlan:
    shape = (1, 8, source.config.joint_attention_dim)
    embeddings = [mx.random.normal(shape, key=mx.random.key(seed)).astype(dtype) for seed in range(prompts)]
    return DenoisingPlan(
        height=32,
        width=48,
        steps=steps,
        guidance=4.0,
        scheduler=SchedulerConfig(use_dynamic_shifting=True, shift=1.0, time_shift_type="exponential"),
        embeddings=embeddings[0],
        negative_embeddings=embeddings[1] if prompts > 1 else None,
    )


def noise_for(source: NetworkSource) -> mx.array:
    return pack(mx.array(torch_noise(3, (1, source.config.in_channels, 2, 3))))


def resident_latents(source: NetworkSource, level: str, prompts: int) -> list[mx.array]:
    network = source.load(mx.float32, MODES[level])
    plan = plan_for(source, prompts)
    return [step.latents for step in denoise(network, noise_for(source), plan, condition(network, plan))]


def streamed_latents(source: NetworkSource, level: str, prompts: int) -> list[mx.array]:
    loader = TransformerLoader(source, MODES[level], mx.float32, streamed=True)
    plan = plan_for(source, prompts)
    with loader.ready(plan, RunReport()) as ready:
        assert ready.conditioning
        return [step.latents for step in denoise(ready.network, noise_for(source), plan, ready.conditioning)]


def assert_same(streamed: list[mx.array], expected: list[mx.array]) -> None:
    assert len(streamed) == STEPS
    assert all(mx.array_equal(one, other) for one, other in zip(streamed, expected, strict=True))


@pytest.mark.parametrize("prompts", [1, 2], ids=["one-pass", "two-passes"])
@pytest.mark.parametrize("level", MODES)
def test_gives_the_resident_networks_numbers(level: str, prompts: int) -> None:
    source = source_of(pocket_checkpoint())
    assert_same(streamed_latents(source, level, prompts), resident_latents(source, level, prompts))


def test_reads_prequantized_files_where_there_are_any() -> None:
    source = source_of(pocket_checkpoint())
    expected = resident_latents(source, "int4", prompts=1)
    quantize_transformer("pocket", "int4")
    mode = MODES["int4"]
    assert mode
    files = find_prequantized(source, mode)
    assert files
    told: list[ev.Event] = []
    plan = plan_for(source)
    with TransformerLoader(source, mode, mx.float32, streamed=True).ready(plan, RunReport("", told.append)) as ready:
        assert ready.conditioning
        found = [step.latents for step in denoise(ready.network, noise_for(source), plan, ready.conditioning)]
    assert_same(found, expected)
    totals = {event.total for event in told if isinstance(event, ev.PhaseProgress)}
    assert totals == {first_bytes(files)}
    assert first_bytes(files) < first_bytes(CheckpointWeights(source.plan)) / 3


@pytest.mark.parametrize("level", ["bf16", "int4"])
def test_reads_quantos_layout(tmp_path: Path, level: str) -> None:
    tensors = open_checkpoint(pocket_checkpoint()).transformer.tensors
    stored, _ = as_quanto({name: read_tensor(info) for name, info in tensors.items()})
    source = source_of(with_transformer(tmp_path / "int8", stored))
    assert_same(streamed_latents(source, level, prompts=1), resident_latents(source, level, prompts=1))


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "resident"])
def test_a_step_is_told_of_when_the_next_is_under_way(streamed: bool) -> None:
    source = source_of(pocket_checkpoint())
    plan = plan_for(source)
    blocks: list[int] = []
    told: list[int] = []
    latents = []
    with TransformerLoader(source, None, mx.float32, streamed).ready(plan, RunReport()) as ready:
        conditioning = ready.conditioning or condition(ready.network, plan)
        for step in denoise(
            ready.network,
            noise_for(source),
            plan,
            conditioning,
            HeadStart(),
            after_block=lambda *_: blocks.append(1),
            ahead=True,
        ):
            told.append(len(blocks))
            latents.append(step.latents)
            assert step.seconds > 0
    in_a_step = source.config.num_layers + source.config.num_single_layers
    assert told == [in_a_step + 1, 2 * in_a_step]
    assert_same(latents, resident_latents(source, "bf16", prompts=1))


def count_reads(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    reads: Counter[str] = Counter()
    fill = safetensors_file.TensorBuffer.fill

    def counting(buffer: safetensors_file.TensorBuffer, on_bytes: safetensors_file.OnBytes | None = None) -> None:
        reads[buffer._info.name] += 1
        fill(buffer, on_bytes)

    monkeypatch.setattr(safetensors_file.TensorBuffer, "fill", counting)
    return reads


def test_both_passes_share_one_reading_of_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    reads = count_reads(monkeypatch)
    source = source_of(pocket_checkpoint())
    streamed_latents(source, "bf16", prompts=2)
    expected = {info.name: STEPS if "transformer_blocks." in info.name else 1 for info in source.plan.tensors}
    assert reads == expected


def test_the_next_steps_first_block_is_read_while_this_step_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two steps nobody asks for weights; it would be waited for in vain if they were read on demand."""
    again = threading.Event()
    fill = safetensors_file.TensorBuffer.fill
    seen: Counter[str] = Counter()

    def watching(buffer: safetensors_file.TensorBuffer, on_bytes: safetensors_file.OnBytes | None = None) -> None:
        fill(buffer, on_bytes)
        seen[buffer._info.name] += 1
        if seen["transformer_blocks.0.attn.to_q.weight"] == 2:
            again.set()

    monkeypatch.setattr(safetensors_file.TensorBuffer, "fill", watching)
    source = source_of(pocket_checkpoint())
    plan = plan_for(source)
    with TransformerLoader(source, None, mx.float32, streamed=True).ready(plan, RunReport()) as ready:
        assert ready.conditioning
        steps = denoise(ready.network, noise_for(source), plan, ready.conditioning)
        next(steps)
        assert again.wait(timeout=60)
        next(steps)


@pytest.mark.parametrize("level", ["bf16", "int4"])
def test_holds_two_blocks_at_most(tmp_path: Path, level: str) -> None:
    source = source_of(write_synthetic("klein-4b", tmp_path / "model", divisor=4))
    weights = CheckpointWeights(source.plan, MODES[level])
    plan = plan_for(source, steps=1, dtype=mx.bfloat16)  # which the CPU multiplies without a copy
    mx.eval(plan.embeddings)
    block = sum(info.nbytes for info in source.plan.tensors if info.name.startswith("single_transformer_blocks.0."))
    before = resident()
    between: list[int] = []
    mx.reset_peak_memory()
    with streamed_transformer(source, weights, mx.bfloat16, plan.steps) as streamed:
        conditioning = condition(streamed.network, plan)
        steps = denoise(
            streamed.network,
            noise_for(source),
            plan,
            conditioning,
            after_block=lambda *_: between.append(mx.get_active_memory() - before),
        )
        for _ in steps:
            pass
    assert max(between) <= block + 2 * MIB  # the one that is being read ahead
    if level == "bf16":  # the CPU multiplies quantized weights dequantized
        assert mx.get_peak_memory() - before <= 2 * block + 2 * MIB
    del streamed, conditioning, steps
    assert resident() - before <= MIB


def names_of_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


def test_a_cancel_between_blocks_stops_the_reading_and_frees_what_was_read() -> None:
    source = source_of(pocket_checkpoint())
    plan = plan_for(source)
    mx.eval(plan.embeddings)
    before = resident()
    blocks: list[int] = []

    def after_block(*_: mx.array) -> None:
        blocks.append(1)
        if len(blocks) == 3:
            raise GenerationCancelled

    def run() -> None:
        with TransformerLoader(source, None, mx.float32, streamed=True).ready(plan, RunReport()) as ready:
            assert ready.conditioning
            next(denoise(ready.network, noise_for(source), plan, ready.conditioning, after_block=after_block))

    with pytest.raises(GenerationCancelled) as caught:
        run()
    traceback.clear_frames(caught.value.__traceback__)
    assert not names_of_threads()
    assert resident() - before <= MIB


def test_a_cancel_is_heard_while_the_disk_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    cancelled = threading.Event()
    fill = safetensors_file.TensorBuffer.fill

    def hanging(buffer: safetensors_file.TensorBuffer, on_bytes: safetensors_file.OnBytes | None = None) -> None:
        if buffer._info.name.startswith("single_transformer_blocks.1."):
            assert cancelled.wait(timeout=30)
        fill(buffer, on_bytes)

    monkeypatch.setattr(safetensors_file.TensorBuffer, "fill", hanging)
    source = source_of(pocket_checkpoint())
    plan = plan_for(source)
    blocks: list[int] = []

    def should_cancel() -> bool:
        if len(blocks) == source.config.num_layers + 1:  # all that could be computed was
            cancelled.set()
        return cancelled.is_set()

    loader = TransformerLoader(source, None, mx.float32, streamed=True)
    report = RunReport(should_cancel=should_cancel)
    with pytest.raises(GenerationCancelled), loader.ready(plan, report) as ready:
        assert ready.conditioning
        steps = denoise(
            ready.network, noise_for(source), plan, ready.conditioning, after_block=lambda *_: blocks.append(1)
        )
        next(steps)
    assert not names_of_threads()


@pytest.mark.parametrize("gone", [True, False], ids=["vanished", "cut"])
def test_a_file_that_fails_in_the_middle_of_a_step_is_one_sentence(tmp_path: Path, gone: bool) -> None:
    folder = writable_copy(pocket_checkpoint(), tmp_path / "model")
    for path in (folder / "transformer").glob("*.safetensors"):
        path.unlink()
        shutil.copy(pocket_checkpoint() / "transformer" / path.name, path)
    source = source_of(folder)
    plan = plan_for(source)

    def run() -> None:
        with TransformerLoader(source, None, mx.float32, streamed=True).ready(plan, RunReport()) as ready:
            assert ready.conditioning
            for _ in denoise(ready.network, noise_for(source), plan, ready.conditioning):
                for path in (folder / "transformer").glob("*.safetensors"):
                    if gone:
                        path.unlink()
                    else:
                        os.truncate(path, path.stat().st_size // 2)

    with pytest.raises(CheckpointError) as caught:
        run()
    assert "\n" not in str(caught.value)
    assert ("reading tensor" if gone else "ends inside tensor") in str(caught.value)
    assert not names_of_threads()


def test_the_phases_tell_what_is_read_up_front_and_how_long_the_disk_was_waited_for() -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket", residency="streamed")
    pipe.load_transformer()
    assert not pipe.transformer_loaded
    events: list[ev.Event] = []
    image = pipe("a red fox", **SMALL, on_event=events.append).images[0]
    assert pipe.phases("a red fox") == ("load", "denoise", "decode")
    phases = [event.phase for event in events if isinstance(event, ev.PhaseFinished)]
    assert phases == ["encode", "load", "denoise", "decode"]
    progress = [event for event in events if isinstance(event, ev.PhaseProgress) and event.phase == "load"]
    assert (
        progress[-1].done == progress[-1].total == first_bytes(CheckpointWeights(source_of(pocket_checkpoint()).plan))
    )
    steps = [event for event in events if isinstance(event, ev.StepFinished)]
    assert all(0 <= step.waited <= step.seconds for step in steps)
    whole = pipe.with_quantization("bf16", "resident")
    assert whole("a red fox", **SMALL).images[0].tobytes() == image.tobytes()
    assert whole.phases("a red fox") == ("denoise", "decode")


def test_first_bytes_are_those_of_the_conditioning() -> None:
    plan = source_of(pocket_checkpoint()).plan
    expected = sum(info.nbytes for info in plan.tensors if info.name.startswith(CONDITIONING_PARTS))
    assert first_bytes(CheckpointWeights(plan)) == expected


def test_an_unknown_residency_is_refused() -> None:
    with pytest.raises(RequestError, match="Residency 'floating' is unknown; choose one of resident, streamed"):
        Flux2Pipeline.from_pretrained("pocket", residency="floating")
