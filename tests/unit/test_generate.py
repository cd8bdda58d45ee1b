"""A request becomes a file, told by events from RunStarted to its one ending; models are kept as long as they serve."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.backend.mlx import mx
from flux2.errors import CheckpointError, Flux2Error, GenerationCancelled, RequestError
from flux2.generate import Generator, generate
from flux2.paths import pocket_checkpoint
from flux2.pictures.images import read_metadata
from flux2.planning.budget import Budget
from flux2.progress import FINISHED, RunProgress
from flux2.request import GenerationRequest
from tests.unit.checkpoints import writable_copy

ENDINGS = (ev.RunFinished, ev.RunFailed, ev.RunCancelled)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("home")
        patch.setenv("FLUX2_HOME", str(folder))
        patch.setenv("FLUX2_OUTPUT", str(folder / "pictures"))
        yield folder


@pytest.fixture
def request_(home: Path, tmp_path: Path) -> GenerationRequest:  # noqa: ARG001
    return GenerationRequest(
        prompt="a red fox", model="pocket", width=64, height=64, steps=1, seed=3, output=str(tmp_path / "fox.png")
    )


def test_a_run_ends_in_a_file_that_says_how_it_was_made(request_: GenerationRequest) -> None:
    events: list[ev.Event] = []
    finished = generate(request_, on_event=events.append)
    assert isinstance(events[0], ev.RunStarted)
    assert events[-1] is finished
    assert sum(isinstance(event, ENDINGS) for event in events) == 1
    assert len({event.run for event in events} - {""}) == 1

    started = events[0]
    done = [event.phase for event in events if isinstance(event, ev.PhaseFinished)]
    assert list(started.phases) == done == list(finished.timings) == list(finished.peaks)
    assert done[-1] == "save"
    assert GenerationRequest.from_dict(started.request) == replace(request_, guidance=1.0)

    assert finished.path == request_.output
    metadata = read_metadata(Path(finished.path))
    assert metadata.request == replace(request_, guidance=1.0, output=None)
    assert metadata.timings.keys() == finished.timings.keys() - {"save"}
    assert metadata.active.keys() == metadata.timings.keys()
    assert finished.seconds >= sum(finished.timings.values())

    progress = RunProgress(run=finished.run)
    for event in events:
        progress.apply(event)
    assert progress.state == FINISHED
    assert progress.path == finished.path
    assert progress.peak == max(finished.peaks.values())


def test_what_is_left_open_is_the_models_or_chosen(home: Path) -> None:
    finished: list[ev.Event] = []
    generate(GenerationRequest(prompt="A red fox!", width=64, height=64, steps=1), on_event=finished.append)
    assert isinstance(finished[-1], ev.RunFinished)
    seed = finished[-1].seed
    assert Path(finished[-1].path) == home / "pictures" / f"a-red-fox-{seed}.png"
    metadata = read_metadata(Path(finished[-1].path))
    assert metadata.request.guidance == 1.0
    assert metadata.request.seed == seed


def test_no_file_is_overwritten(request_: GenerationRequest) -> None:
    paths = {Path(generate(request_).path).name for _ in range(2)}
    assert paths == {"fox.png", "fox-2.png"}


def test_failures_are_told_and_raised(request_: GenerationRequest, tmp_path: Path) -> None:
    cases: list[tuple[GenerationRequest, type[Flux2Error]]] = [
        (replace(request_, prompt=" "), RequestError),
        (replace(request_, model="klein-5b"), RequestError),
        (replace(request_, model=str(tmp_path)), CheckpointError),
        (replace(request_, output=str(tmp_path / "fox.jpg")), RequestError),
    ]
    for request, kind in cases:
        events: list[ev.Event] = []
        with pytest.raises(kind) as caught:
            Generator().generate(request, run="r7", on_event=events.append)
        assert isinstance(events[-1], ev.RunFailed)
        assert events[-1].message == str(caught.value)
        assert "Traceback" in events[-1].details
        assert events[-1].run == "r7"
        assert not any(isinstance(event, ev.PhaseStarted) for event in events)
    assert not list(tmp_path.glob("*.png"))


def test_a_cancel_is_told_and_leaves_no_file(request_: GenerationRequest) -> None:
    events: list[ev.Event] = []
    with pytest.raises(GenerationCancelled):
        generate(
            request_, on_event=events.append, should_cancel=lambda: any(isinstance(e, ev.StepFinished) for e in events)
        )
    assert isinstance(events[-1], ev.RunCancelled)
    assert not Path(request_.output or "").exists()


def phases_of(generator: Generator, request: GenerationRequest) -> tuple[str, ...]:
    events: list[ev.Event] = []
    generator.generate(request, on_event=events.append)
    assert isinstance(events[0], ev.RunStarted)
    return events[0].phases


def test_the_model_is_kept_for_the_next_run_and_let_go_for_another(request_: GenerationRequest, tmp_path: Path) -> None:
    generator = Generator()
    assert generator.model == ""
    phases_of(generator, request_)
    assert generator.model == "pocket bf16"
    assert phases_of(generator, replace(request_, seed=4)) == ("denoise", "decode", "save")
    assert phases_of(generator, replace(request_, quantization="int4")) == ("load", "denoise", "decode", "save")
    assert generator.model == "pocket int4"
    copy = writable_copy(pocket_checkpoint(), tmp_path / "copy")
    assert "load" in phases_of(generator, replace(request_, model=str(copy)))
    assert generator.model == f"{copy} bf16"
    generator.unload()
    assert generator.model == ""


def test_what_is_planned_for_a_run_is_what_it_takes(request_: GenerationRequest) -> None:
    gc.collect()
    mx.clear_cache()
    others = mx.get_active_memory()
    generator = Generator()
    for request in (request_, replace(request_, prompt="a blue bird")):  # the second with the transformer kept
        events: list[ev.Event] = []
        finished = generator.generate(replace(request, width=256, height=256), on_event=events.append)
        planned = next(event.planned for event in events if isinstance(event, ev.RunStarted))
        assert planned.keys() == finished.peaks.keys() - {"save"}
        for phase, peak in planned.items():
            assert finished.peaks[phase] - others == pytest.approx(peak, rel=0.1, abs=400_000), phase


def test_a_checkpoint_that_changed_on_disk_is_read_again(request_: GenerationRequest, tmp_path: Path) -> None:
    copy = writable_copy(pocket_checkpoint(), tmp_path / "copy")
    request = replace(request_, model=str(copy))
    generator = Generator()
    phases_of(generator, request)
    shard = next((copy / "transformer").glob("*.safetensors"))
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content)
    os.utime(shard, ns=(0, 0))
    assert "load" in phases_of(generator, request)
    shard.write_bytes(content[:-2])
    with pytest.raises(CheckpointError, match="is cut short"):
        generator.generate(request)


def test_auto_is_decided_before_the_run_and_told(request_: GenerationRequest) -> None:
    events: list[ev.Event] = []
    finished = generate(replace(request_, quantization="auto", residency="auto"), on_event=events.append)
    decided = next(event.request for event in events if isinstance(event, ev.RunStarted))
    assert (decided["quantization"], decided["residency"]) == ("bf16", "resident")
    assert read_metadata(Path(finished.path)).request.quantization == "bf16"
    said = [event.message for event in events if isinstance(event, ev.Logged)]
    assert any(message.startswith("Chosen as the best that fits: pocket bf16 at 64×64 needs ") for message in said)


def test_a_run_that_does_not_fit_is_warned_of_and_made(request_: GenerationRequest) -> None:
    events: list[ev.Event] = []
    generate(request_, on_event=events.append, memory_budget=1 << 20)
    assert any("pocket bf16 at 64×64 needs" in event.message for event in events if isinstance(event, ev.Warned))
    events.clear()
    generate(replace(request_, force=True), on_event=events.append, memory_budget=1 << 20)
    assert not any("needs" in event.message for event in events if isinstance(event, ev.Warned))


def test_the_transformer_makes_room_for_the_decode_where_only_that_fits(
    request_: GenerationRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    events: list[ev.Event] = []
    generator = Generator()
    generator.generate(request_, on_event=events.append)
    assert generator.model == "pocket bf16"
    monkeypatch.setattr(Budget, "is_better", lambda *_: True)
    generator.generate(replace(request_, seed=5), on_event=events.append)
    assert generator.model == ""
    assert any("let go before the decode" in event.message for event in events if isinstance(event, ev.Logged))
    assert phases_of(generator, replace(request_, seed=6))[0] == "load"
