"""A run that was broken off is taken up where it was, and its picture is the same to the last bit."""

from __future__ import annotations

from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2 import events as ev
from flux2.denoise import resume
from flux2.generate import Generator
from flux2.request import GenerationRequest
from tests.other_values import other_value
from tests.unit.killed_runs import run

REQUEST = GenerationRequest(prompt="a red fox in the snow", width=128, height=64, steps=4, seed=7)


@pytest.fixture(autouse=True)
def _keeps_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "KEEP_EVERY", 0.0)


def _started(seen: list[ev.Event]) -> ev.RunStarted:
    return next(event for event in seen if isinstance(event, ev.RunStarted))


@pytest.mark.parametrize("residency", ["resident", "streamed"])
@pytest.mark.parametrize("step", [1, 3])
def test_the_picture_is_the_same_to_the_last_bit(tmp_path: Path, residency: str, step: int) -> None:
    request = replace(REQUEST, residency=residency)
    undisturbed, _ = run(request, tmp_path / "a.png")
    state = tmp_path / "run" / "latents.safetensors"
    run(request, tmp_path / "b.png", state, killed_after=step)
    assert state.exists()
    taken_up, seen = run(request, tmp_path / "b.png", state)
    assert _started(seen).first_step == step
    assert [event.step for event in seen if isinstance(event, ev.StepFinished)] == list(range(step + 1, 5))
    assert np.array_equal(taken_up, undisturbed)
    assert not state.exists()
    assert not list(state.parent.iterdir())


def test_what_was_kept_of_another_request_is_not_used(tmp_path: Path) -> None:
    state = tmp_path / "latents.safetensors"
    run(REQUEST, tmp_path / "a.png", state, killed_after=2)
    other = replace(REQUEST, prompt="a blue car")
    expected, _ = run(other, tmp_path / "b.png")
    made, seen = run(other, tmp_path / "c.png", state)
    assert _started(seen).first_step == 0
    assert any("begins anew" in event.message for event in seen if isinstance(event, ev.Warned))
    assert np.array_equal(made, expected)


@pytest.mark.parametrize("kernels", ["SkylakeX MAX_THREADS=64", ""])
def test_what_was_kept_under_another_core_type_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kernels: str
) -> None:
    state = tmp_path / "latents.safetensors"
    run(REQUEST, tmp_path / "a.png", state, killed_after=2)
    monkeypatch.setattr(resume.blas, "kernels", lambda: kernels)
    _, seen = run(REQUEST, tmp_path / "b.png", state)
    assert _started(seen).first_step == 0
    assert any("or processor; it begins anew." in event.message for event in seen if isinstance(event, ev.Warned))


@pytest.mark.parametrize("position", [0, 5, 100, 2000, -1])
def test_a_damaged_file_is_noticed(tmp_path: Path, position: int) -> None:
    state = tmp_path / "latents.safetensors"
    run(REQUEST, tmp_path / "a.png", state, killed_after=2)
    data = bytearray(state.read_bytes())
    data[position] ^= 0x40
    state.write_bytes(data)
    _, seen = run(REQUEST, tmp_path / "b.png", state)
    assert _started(seen).first_step == 0
    assert any("begins anew" in event.message for event in seen if isinstance(event, ev.Warned))


def test_a_cut_file_is_noticed(tmp_path: Path) -> None:
    state = tmp_path / "latents.safetensors"
    run(REQUEST, tmp_path / "a.png", state, killed_after=2)
    state.write_bytes(state.read_bytes()[:-100])
    _, seen = run(REQUEST, tmp_path / "b.png", state)
    assert _started(seen).first_step == 0


def test_a_disk_that_is_full_ends_no_run(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    picture, seen = run(REQUEST, tmp_path / "a.png", in_the_way / "latents.safetensors")
    assert picture.size
    assert len([event for event in seen if isinstance(event, ev.Warned) and "can't be kept" in event.message]) == 1


def test_a_run_that_is_broken_off_can_be_taken_up(tmp_path: Path) -> None:
    state = tmp_path / "latents.safetensors"
    seen: list[ev.Event] = []
    with pytest.raises(Exception, match="cancelled"):
        Generator().generate(
            replace(REQUEST, output=str(tmp_path / "a.png")),
            on_event=seen.append,
            should_cancel=lambda: any(isinstance(event, ev.StepFinished) for event in seen),
            state=state,
        )
    _, seen = run(REQUEST, tmp_path / "a.png", state)
    assert _started(seen).first_step == 1


def test_nothing_is_kept_of_a_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resume, "KEEP_EVERY", 15.0)
    state = tmp_path / "latents.safetensors"
    run(REQUEST, tmp_path / "a.png", state, killed_after=3)
    assert not state.exists()


INDIFFERENT = {"prompt_template", "residency", "keep_text_encoder", "force", "output"}
"""Fields of a request that change nothing in its picture; a new field decides it until it is named here."""


@pytest.mark.parametrize("field", fields(GenerationRequest), ids=lambda field: field.name)
def test_what_decides_the_picture_identifies_the_run(field: Field[Any]) -> None:
    changed = replace(REQUEST, **{field.name: other_value(field)})
    same = resume.identify(changed, "float32", ()) == resume.identify(REQUEST, "float32", ())
    assert same == (field.name in INDIFFERENT)
