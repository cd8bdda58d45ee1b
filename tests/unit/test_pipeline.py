"""The phases in order, what each leaves behind, what stops a run and what is refused before it begins."""

from __future__ import annotations

import gc
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2 import events as ev
from flux2.backend import memory
from flux2.backend.mlx import mx
from flux2.errors import CheckpointError, Flux2Error, GenerationCancelled, NumericalError, RequestError
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.paths import pocket_checkpoint
from flux2.pipeline import Flux2Pipeline
from flux2.planning.fit import facts_of
from flux2.planning.run_facts import Engine
from flux2.reporting import RunReport
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks
from tests.unit.checkpoints import edit_json, writable_copy

SMALL: dict[str, Any] = {"height": 64, "width": 96, "num_inference_steps": 2, "seed": 7}
PROMPT = "a red fox"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Caches of this module's own, kept from test to test but for what `no_known_prompts` removes."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("FLUX2_HOME", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def no_known_prompts(home: Path) -> None:
    shutil.rmtree(home / "cache" / "prompts", ignore_errors=True)


@pytest.fixture(scope="module")
def pipe(home: Path) -> Iterator[Flux2Pipeline]:  # noqa: ARG001
    pipeline = Flux2Pipeline.from_pretrained("pocket")
    yield pipeline
    pipeline.unload()


@pytest.fixture
def base(tmp_path: Path) -> Flux2Pipeline:
    """Pocket's weights, told to be an undistilled model."""
    folder = writable_copy(pocket_checkpoint(), tmp_path / "base")
    edit_json(folder / "model_index.json", is_distilled=False)
    return Flux2Pipeline.from_pretrained(folder)


def of_type(events: list[ev.Event], kind: type[ev.Event]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def test_a_run_tells_its_phases_steps_and_previews_in_order() -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket", quantization="int4")
    events: list[ev.Event] = []
    out = pipe(PROMPT, **SMALL, on_event=events.append, run="r1")
    phases = [event.phase for event in events if isinstance(event, ev.PhaseStarted | ev.PhaseFinished)]
    assert phases == [phase for phase in ("encode", "load", "denoise", "decode") for _ in range(2)]
    assert {event.run for event in events} == {"r1"}
    steps = of_type(events, ev.StepFinished)
    assert [(step.step, step.steps) for step in steps] == [(1, 2), (2, 2)]
    assert steps[0].sigma == 1.0
    assert 0 < steps[1].sigma < 1
    previews = of_type(events, ev.Preview)
    assert [preview.step for preview in previews] == [1, 2]
    assert all(preview.png.startswith(b"\x89PNG") and max(preview.width, preview.height) <= 256 for preview in previews)
    assert previews[0].width / previews[0].height == 96 / 64
    for finished in of_type(events, ev.PhaseFinished):
        assert finished.memory.peak >= finished.memory.active
        assert finished.seconds == out.timings[finished.phase] > 0
        assert finished.memory.peak == out.peaks[finished.phase] > 0
    for phase, unit in (("encode", "layers"), ("load", "bytes"), ("decode", "stages")):
        progress = [event for event in of_type(events, ev.PhaseProgress) if event.phase == phase]
        assert progress[-1].done == progress[-1].total
        assert {event.unit for event in progress} == {unit}
        assert [event.done for event in progress] == sorted({event.done for event in progress})
    assert out.images[0].size == (96, 64)
    assert out.seed == 7
    assert not of_type(events, ev.Warned) or "was trained for" in of_type(events, ev.Warned)[0].message


def test_what_is_kept_needs_no_phase(pipe: Flux2Pipeline) -> None:
    pipe.unload()
    assert pipe.phases(PROMPT) == ("encode", "load", "denoise", "decode")
    first = pipe(PROMPT, **SMALL)
    assert set(first.timings) == {"encode", "load", "denoise", "decode"}
    assert pipe.phases(PROMPT) == ("denoise", "decode")
    again = pipe(PROMPT, **SMALL)
    assert set(again.timings) == {"denoise", "decode"}
    assert again.images[0].tobytes() == first.images[0].tobytes()
    assert pipe.phases("another prompt") == ("encode", "denoise", "decode")
    assert pipe.phases(PROMPT, max_sequence_length=64) == ("encode", "denoise", "decode")
    pipe.unload()
    assert pipe.phases(PROMPT) == ("load", "denoise", "decode")  # the disk remembers


def test_the_text_encoder_is_gone_before_the_transformer_comes() -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket")
    before = mx.get_active_memory()
    events: list[ev.Event] = []
    pipe(PROMPT, **SMALL, on_event=events.append)
    active = {event.phase: event.memory.active - before for event in of_type(events, ev.PhaseFinished)}
    assert active["encode"] < 1 << 20
    transformer = pipe.checkpoint.transformer.nbytes
    assert transformer <= active["load"] <= transformer + (1 << 20)
    assert active["decode"] <= active["load"] + (1 << 20)


@pytest.mark.parametrize("residency", ["resident", "streamed"])
def test_nothing_that_denoising_held_is_there_when_the_decode_begins(residency: str) -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket", residency=residency)
    before = mx.get_active_memory()
    events: list[ev.Event] = []
    pipe(PROMPT, **SMALL, keep_transformer=False, on_event=events.append)
    (began,) = [event for event in of_type(events, ev.PhaseStarted) if event.phase == "decode"]
    assert began.memory.active - before < 1 << 19  # embeddings and latents
    assert {event.memory.cache for event in of_type(events, ev.PhaseFinished)} == {0}


def test_load_transformer_ahead(pipe: Flux2Pipeline) -> None:
    pipe.unload()
    pipe.load_transformer()
    assert pipe.transformer_loaded
    assert pipe.phases(PROMPT) == ("encode", "denoise", "decode")


def test_a_transformer_loaded_ahead_draws_previews_all_the_same() -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket")
    pipe.load_transformer()
    events: list[ev.Event] = []
    pipe(PROMPT, **SMALL, on_event=events.append)
    assert [preview.step for preview in of_type(events, ev.Preview)] == [1, 2]


def test_other_levels_share_the_prompt(pipe: Flux2Pipeline) -> None:
    plain = pipe(PROMPT, **SMALL)
    other = pipe.with_quantization("qint8")
    assert other.phases(PROMPT) == ("load", "denoise", "decode")
    quantized = other(PROMPT, **SMALL)
    difference = np.abs(np.asarray(plain.images[0], np.float32) - np.asarray(quantized.images[0], np.float32))
    assert 0 < difference.mean() < 8


def test_given_latents_take_the_place_of_the_seeds(pipe: Flux2Pipeline) -> None:
    noise = np.random.default_rng(0).standard_normal((1, 128, 4, 6), dtype=np.float32)
    seen: list[tuple[int, float, tuple[int, ...]]] = []

    def watch(pipeline: Flux2Pipeline, step: int, sigma: float, tensors: dict[str, mx.array]) -> None:
        assert pipeline is pipe
        seen.append((step, sigma, tuple(tensors["latents"].shape)))

    from_numpy = pipe(PROMPT, **SMALL, latents=noise, callback_on_step_end=watch)
    from_mlx = pipe(PROMPT, **{**SMALL, "seed": 8}, latents=mx.array(noise))
    assert from_numpy.images[0].tobytes() == from_mlx.images[0].tobytes()
    assert from_numpy.images[0].tobytes() != pipe(PROMPT, **SMALL).images[0].tobytes()
    assert [(step, shape) for step, _, shape in seen] == [(0, (1, 24, 128)), (1, (1, 24, 128))]
    assert seen[0][1] == 1.0


def test_portrait_and_landscape_of_one_area_do_not_mix(pipe: Flux2Pipeline) -> None:
    """Positions are made for the size at hand, however warm the model is."""
    tall = pipe(PROMPT, **{**SMALL, "height": 96, "width": 64}).images[0]
    pipe(PROMPT, **SMALL)
    assert pipe(PROMPT, **{**SMALL, "height": 96, "width": 64}).images[0].tobytes() == tall.tobytes()
    fresh = Flux2Pipeline.from_pretrained("pocket")
    assert fresh(PROMPT, **{**SMALL, "height": 96, "width": 64}).images[0].tobytes() == tall.tobytes()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"height": 100}, "height 100 is not a multiple of 16; choose 96 or 112"),
        ({"width": 8192}, "width 8192 is out of range"),
        ({"num_inference_steps": 0}, "0 steps are out of range"),
        ({"guidance_scale": float("nan")}, "Guidance nan is out of range"),
        ({"seed": -1}, "Seed -1 is out of range"),
        ({"max_sequence_length": 513}, "max_sequence_length 513 is out of range"),
        ({"latents": np.zeros((1, 128, 6, 4))}, r"shape \[1, 128, 6, 4\]; a 96×64 picture needs \[1, 128, 4, 6\]"),
        ({"latents": np.full((1, 128, 4, 6), np.nan)}, "NaN or infinity; give finite noise"),
        ({"latents": "noise"}, "The latents are no array of numbers"),
        ({"height": 0}, "The height 0 is out of range"),
        ({"height": 64.0}, "height is 64.0; give a whole number"),
        ({"num_inference_steps": "4"}, "num_inference_steps is '4'; give a whole number"),
        ({"seed": True}, "seed is True; give a whole number"),
        ({"max_sequence_length": "5"}, "max_sequence_length is '5'; give a whole number"),
        ({"guidance_scale": "high"}, "guidance_scale is 'high'; give a number"),
        ({"negative_prompt": ["blurry"]}, r"The negative_prompt is \['blurry'\]; give a text"),
    ],
)
def test_refuses_before_any_work(arguments: dict[str, Any], sentence: str) -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket")
    events: list[ev.Event] = []
    with pytest.raises(RequestError, match=sentence):
        pipe(PROMPT, **{**SMALL, **arguments}, on_event=events.append)
    assert not events


def test_numbers_may_be_numpys(pipe: Flux2Pipeline) -> None:
    numbers: dict[str, Any] = {"height": np.int64(64), "width": np.int32(96), "num_inference_steps": np.uint8(2)}
    numbers |= {"seed": np.int64(7), "guidance_scale": np.float32(1), "max_sequence_length": np.int64(64)}
    plain = pipe(PROMPT, **SMALL, guidance_scale=1.0, max_sequence_length=64)
    assert pipe(PROMPT, **numbers).images[0].tobytes() == plain.images[0].tobytes()


def test_refuses_an_empty_prompt_and_unknown_choices() -> None:
    with pytest.raises(RequestError, match="prompt is empty"):
        Flux2Pipeline.from_pretrained("pocket")("  ")
    with pytest.raises(RequestError, match="one picture of one prompt; call the pipeline once for each"):
        Flux2Pipeline.from_pretrained("pocket")(["a fox", "a cat"])  # type: ignore[arg-type]
    with pytest.raises(RequestError, match=r"'int3' is unknown; choose one of bf16, qint8, .*int4"):
        Flux2Pipeline.from_pretrained("pocket", quantization="int3")
    with pytest.raises(RequestError, match="dtype 'int8' is unknown"):
        Flux2Pipeline.from_pretrained("pocket", dtype="int8")


def test_from_pretrained_reads_no_tensor() -> None:
    before = mx.get_active_memory()
    mx.reset_peak_memory()
    Flux2Pipeline.from_pretrained("pocket", quantization="int4")
    assert mx.get_peak_memory() - before < 65536


def test_from_pretrained_notices_a_config_that_contradicts_the_tensors(tmp_path: Path) -> None:
    folder = writable_copy(pocket_checkpoint(), tmp_path / "copy")
    layers = json.loads((folder / "transformer/config.json").read_text())["num_single_layers"]
    edit_json(folder / "transformer/config.json", num_single_layers=layers + 1)
    with pytest.raises(CheckpointError, match=rf"transformer lacks tensor single_transformer_blocks\.{layers}\."):
        Flux2Pipeline.from_pretrained(folder)


def cancel_when(event_type: type[ev.Event], **wanted: Any) -> tuple[list[bool], ev.EventHandler]:
    """A flag, and a handler that sets it when such an event comes."""
    flag: list[bool] = []

    def watch(event: ev.Event) -> None:
        if isinstance(event, event_type) and all(getattr(event, name) == value for name, value in wanted.items()):
            flag.append(True)

    return flag, watch


@pytest.mark.parametrize(
    ("event_type", "wanted"),
    [
        (ev.PhaseStarted, {"phase": "encode"}),
        (ev.PhaseProgress, {"phase": "encode"}),
        (ev.PhaseProgress, {"phase": "load"}),
        (ev.PhaseStarted, {"phase": "denoise"}),
        (ev.StepFinished, {"step": 1}),
        (ev.PhaseProgress, {"phase": "decode"}),
    ],
)
def test_cancel_ends_the_run_at_once_and_frees_its_memory(event_type: type[ev.Event], wanted: dict[str, Any]) -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket")
    gc.collect()
    before = mx.get_active_memory()
    flag, watch = cancel_when(event_type, **wanted)
    after: list[ev.Event] = []

    def on_event(event: ev.Event) -> None:
        if flag:
            after.append(event)
        watch(event)

    with pytest.raises(GenerationCancelled):
        pipe(PROMPT, **SMALL, on_event=on_event, should_cancel=lambda: bool(flag))
    assert flag
    assert not of_type(after, ev.PhaseFinished)
    assert len(of_type(after, ev.StepFinished)) == 0
    kept = pipe.checkpoint.transformer.nbytes if pipe.transformer_loaded else 0
    assert mx.get_active_memory() - before <= kept + (1 << 20)
    assert mx.get_cache_memory() < 1 << 20
    assert pipe(PROMPT, **SMALL).images  # and the pipeline works on


def test_nan_is_an_error_that_names_the_step(pipe: Flux2Pipeline) -> None:
    def spoil(pipeline: Flux2Pipeline, step: int, sigma: float, tensors: dict[str, mx.array]) -> None:  # noqa: ARG001
        network = pipeline._transformer.network
        assert network is not None
        weight = network.proj_out.weight
        network.proj_out.weight = mx.full(weight.shape, float("nan"), dtype=weight.dtype)

    try:
        with pytest.raises(NumericalError, match=r"NaN or infinite in step 2 of 3 \(computed in float32\)"):
            pipe(PROMPT, **{**SMALL, "num_inference_steps": 3}, callback_on_step_end=spoil)
    finally:
        pipe.unload()


@pytest.mark.parametrize(
    ("failure", "kind", "sentence"),
    [
        (
            RuntimeError("[malloc_or_wait] Unable to allocate 99 bytes."),
            Flux2Error,
            "not enough memory for 96×64 with bf16",
        ),
        (MemoryError("Unable to allocate"), Flux2Error, "choose a smaller size"),
        (RuntimeError("[reshape] Cannot reshape"), RuntimeError, "Cannot reshape"),
    ],
)
def test_memory_that_runs_out_is_said_in_a_sentence(
    pipe: Flux2Pipeline, monkeypatch: pytest.MonkeyPatch, failure: Exception, kind: type[Exception], sentence: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise type(failure)(*failure.args)  # the one above lives on, and would keep what its frames hold

    monkeypatch.setattr(AutoencoderKLFlux2, "decode", fail)
    with pytest.raises(kind, match=sentence):
        pipe(PROMPT, **SMALL)


def test_base_models_make_two_passes_and_hear_the_negative_prompt(base: Flux2Pipeline) -> None:
    guided = base(PROMPT, **SMALL, guidance_scale=4.0).images[0].tobytes()
    events: list[ev.Event] = []
    assert base(PROMPT, **SMALL, guidance_scale=1.0, on_event=events.append).images[0].tobytes() != guided
    assert base(PROMPT, "", **SMALL, guidance_scale=4.0).images[0].tobytes() == guided
    assert base(PROMPT, "a blue cat", **SMALL, guidance_scale=4.0).images[0].tobytes() != guided
    assert base.default_steps == 50
    assert base.default_guidance == 4.0
    assert base.default_size == (256, 256)


def test_guidance_combines_the_two_passes_as_the_reference_does(base: Flux2Pipeline) -> None:
    """The first step's velocity at guidance g is negative + g · (positive − negative)."""
    ends: dict[float | str, mx.array] = {}

    def run(name: float | str, prompt: str, guidance: float) -> None:
        def keep(_: Flux2Pipeline, step: int, sigma: float, tensors: dict[str, mx.array]) -> None:  # noqa: ARG001
            ends[name] = tensors["latents"]

        base(prompt, **{**SMALL, "num_inference_steps": 1}, guidance_scale=guidance, callback_on_step_end=keep)

    run("positive", PROMPT, 1.0)
    run("guided", PROMPT, 3.0)
    # The empty prompt itself can't be asked for; it follows from the two.
    run("more", PROMPT, 5.0)
    negative = ends["positive"] - (ends["guided"] - ends["positive"]) / 2
    assert mx.allclose(ends["more"], negative + 5 * (ends["positive"] - negative), atol=1e-3)


def warnings_of(pipe: Flux2Pipeline, prompt: str = PROMPT, **arguments: Any) -> str:
    events: list[ev.Event] = []
    pipe(prompt, **{**SMALL, "num_inference_steps": 1, **arguments}, on_event=events.append)
    return " ".join(warning.message for warning in of_type(events, ev.Warned))


def test_warns_of_what_is_allowed_but_hardly_meant(pipe: Flux2Pipeline, base: Flux2Pipeline) -> None:
    assert "trained for 256×256, 320×192, 192×320 only; 96×64 may not look right" in warnings_of(pipe)
    assert "guidance built in; guidance 3 does nothing" in warnings_of(pipe, guidance_scale=3.0)
    assert "distilled; the negative prompt does nothing" in warnings_of(pipe, negative_prompt="blur")
    assert "negative prompt does nothing at guidance 1" in warnings_of(base, negative_prompt="blur", guidance_scale=1.0)
    assert warnings_of(base) == ""
    assert "tokens longer than the" in warnings_of(pipe, "many words " * 300)


def test_float16_and_bfloat16_give_nearly_the_same_picture(pipe: Flux2Pipeline) -> None:
    exact = np.asarray(pipe(PROMPT, **SMALL).images[0], np.float32)
    for dtype in ("float16", "bfloat16"):
        rounded = Flux2Pipeline.from_pretrained("pocket", dtype=dtype)(PROMPT, **SMALL).images[0]
        assert np.abs(np.asarray(rounded, np.float32) - exact).mean() < 4


def test_every_error_is_one_sentence() -> None:
    with pytest.raises(Flux2Error) as caught:
        Flux2Pipeline.from_pretrained("no/such folder")
    assert "\n" not in str(caught.value)


def test_the_meter_reads_from_any_thread() -> None:
    from concurrent.futures import ThreadPoolExecutor

    array = mx.ones((1024, 1024))
    mx.eval(array)
    with ThreadPoolExecutor(1) as thread:
        reading = thread.submit(memory.read).result()
    assert reading.active >= array.nbytes
    assert reading.peak >= reading.active
    assert reading.footprint > array.nbytes
    assert reading.available > 0
    assert memory.memory_limit() > reading.footprint
    assert memory.device_name()


def test_warnings_that_nobody_is_told_of_are_pythons(pipe: Flux2Pipeline) -> None:
    """A slow BLAS, a prompt that is cut: each goes through the one door."""
    with pytest.warns(UserWarning, match="negative prompt does nothing") as told:
        pipe(PROMPT, "blurry", **SMALL)
    assert {warning.filename for warning in told} == {__file__}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        events: list[ev.Event] = []
        pipe(PROMPT, "blurry", **SMALL, on_event=events.append)
    assert any("negative prompt does nothing" in event.message for event in of_type(events, ev.Warned))


@pytest.mark.parametrize(("guidance", "passes"), [(0.5, 1), (1.0, 1), (1.01, 2), (4.0, 2)])
def test_a_second_pass_begins_above_guidance_1(base: Flux2Pipeline, guidance: float, passes: int) -> None:
    """In the engine and in the plan alike: at 1 the negative prompt would weigh nothing."""
    assert len(base._texts(PROMPT, "blurry", guidance)) == passes
    request = GenerationRequest(prompt=PROMPT, model=str(base.checkpoint.place), guidance=guidance)
    assert facts_of(request, find_networks(request.model), Engine()).prompts == passes


@pytest.mark.parametrize("resident", [False, True])
def test_embeddings_of_another_dtype_are_not_taken_for_ones_own(resident: bool) -> None:
    made = {}
    for dtype in ("float32", "bfloat16", "float16"):
        encoder = Flux2Pipeline.from_pretrained("pocket", dtype)._prompts
        encoder.keep_resident(resident)
        (made[dtype],) = encoder.encode([PROMPT], 16, RunReport())
    assert {dtype: str(found.dtype).removeprefix("mlx.core.") for dtype, found in made.items()} == {
        dtype: dtype for dtype in made
    }
