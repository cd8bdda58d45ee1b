"""Runs that change a picture, from request to file: taken up after a death, streamed, planned, and from Python."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flux2 import Flux2Pipeline
from flux2 import events as ev
from flux2.backend.mlx import mx
from flux2.canvas.hand_in import pictures_handed_in
from flux2.canvas.mask_drawing import blank, ellipse, feather, rectangle
from flux2.denoise import resume
from flux2.denoise.steps import Step
from flux2.errors import RequestError
from flux2.pictures.attachments import attach
from flux2.pictures.image_metadata import DIGITAL_SOURCE_TYPE, EDITED_SOURCE_TYPE, ImageMetadata
from flux2.pictures.images import save_png
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.reporting import RunReport
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks
from tests.unit.killed_runs import run

SOURCE = Image.fromarray(np.random.default_rng(1).integers(0, 256, (70, 125, 3)).astype(np.uint8))
MASK = feather(ellipse(blank(125, 70), (20, 10, 90, 60)), 8)


@pytest.fixture(autouse=True)
def _keeps_every_step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(resume, "KEEP_EVERY", 0.0)
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))


def saved(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


@pytest.fixture
def masked(tmp_path: Path) -> GenerationRequest:
    source = attach(saved(tmp_path / "source.png", SOURCE))
    mask = attach(saved(tmp_path / "mask.png", Image.fromarray(MASK)))
    return GenerationRequest(prompt="a red fox", source=source, mask=mask, strength=0.8, steps=3, seed=7)


@pytest.mark.parametrize("residency", ["resident", "streamed"])
def test_a_run_that_is_taken_up_ends_in_the_same_picture(
    tmp_path: Path, masked: GenerationRequest, residency: str
) -> None:
    request, state = replace(masked, residency=residency), tmp_path / "latents.safetensors"
    undisturbed, seen = run(request, tmp_path / "a.png")
    assert [event.step for event in seen if isinstance(event, ev.StepFinished)] == [1, 2, 3], "all that were asked for"
    run(request, tmp_path / "b.png", state, killed_after=1)
    assert state.exists()
    taken_up, seen = run(request, tmp_path / "b.png", state)
    assert next(event.first_step for event in seen if isinstance(event, ev.RunStarted)) == 1
    assert np.array_equal(taken_up, undisturbed)
    assert np.array_equal(undisturbed[MASK <= 4], np.asarray(SOURCE)[MASK <= 4])


def test_the_file_says_that_a_part_of_it_was_there_before(tmp_path: Path, masked: GenerationRequest) -> None:
    for request, told in ((masked, EDITED_SOURCE_TYPE), (replace(masked, mask=None), DIGITAL_SOURCE_TYPE)):
        path = save_png(SOURCE, tmp_path / "told.png", ImageMetadata(request=request))
        with Image.open(path) as image:
            assert f">{told}<" in image.info["XML:com.adobe.xmp"]


def test_another_source_or_mask_is_another_picture(tmp_path: Path, masked: GenerationRequest) -> None:
    state = tmp_path / "latents.safetensors"
    run(masked, tmp_path / "a.png", state, killed_after=1)
    other = attach(saved(tmp_path / "other.png", Image.fromarray(255 - MASK)))
    _, seen = run(replace(masked, mask=other), tmp_path / "b.png", state, killed_after=1)
    assert any("begins anew" in event.message for event in seen if isinstance(event, ev.Warned))


def test_what_is_shown_on_the_way_has_what_is_kept_in_it(masked: GenerationRequest) -> None:
    """Estimates of a token that is kept are the source's own latents, after every step."""
    pipe = Flux2Pipeline.from_pretrained("pocket", dtype="float32")
    steps: list[Step] = []
    pipe.run(masked, RunReport(), on_step=steps.append)
    estimates = [np.array(step.estimate).reshape(5, 8, -1) for step in steps]
    kept, painted = estimates[0][0, 7], estimates[0][2, 3]
    assert all(np.array_equal(estimate[0, 7], kept) for estimate in estimates)
    assert not any(np.array_equal(estimate[2, 3], painted) for estimate in estimates[1:])
    assert np.array_equal(np.array(steps[-1].latents).reshape(5, 8, -1)[0, 7], kept)


def test_the_plan_knows_the_canvas(tmp_path: Path) -> None:
    """It is encoded and decoded at the size with its margins."""
    request = GenerationRequest(prompt="a fox", outpaint=(0, 200, 60, 0), steps=1, seed=7)
    source = attach(saved(tmp_path / "large.png", SOURCE.resize((320, 256))))
    gc.collect()
    there = mx.get_active_memory()  # what other tests of this process hold
    _, seen = run(replace(request, source=source), tmp_path / "a.png")
    planned = next(event.planned for event in seen if isinstance(event, ev.RunStarted))
    peaks = next(event.peaks for event in seen if isinstance(event, ev.RunFinished))
    for phase in ("references", "decode"):
        assert planned[phase] == pytest.approx(peaks[phase] - there, rel=0.05), phase


def test_the_plan_counts_what_a_source_adds_to_denoising() -> None:
    """Its latents and the noise it is put back with; and where it is a reference, its tokens in every step."""
    facts = RunFacts(width=512, height=512)
    networks = find_networks("klein-4b")
    plain, changed, shown = (
        plan(networks, replace(facts, source=source, source_as_reference=reference)).peaks["denoise"]
        for source, reference in ((False, False), (True, False), (True, True))
    )
    latents = 1024 * 128 * 4
    assert plain + 2 * latents <= changed <= plain + 4 * latents
    assert shown > changed + 20 * latents


def test_python_takes_diffusers_arguments() -> None:
    mask = Image.fromarray(rectangle(blank(125, 70), (0, 0, 30, 30)))
    fields, pictures = pictures_handed_in(SOURCE, [SOURCE.rotate(90)], mask, 0.6, None, 28)
    assert (fields["steps"], fields["strength"]) == (17, 0.6)
    assert fields["source"] and fields["mask"] and len(fields["references"]) == 1
    assert set(pictures) == {fields["source"].digest, fields["mask"].digest, fields["references"][0].digest}
    fields, _ = pictures_handed_in([SOURCE, SOURCE], (), None, None, None, 4)
    assert fields["steps"] == 4 and len(fields["references"]) == 2 and "source" not in fields


@pytest.mark.parametrize(
    ("image", "others", "remedy"),
    [
        ([SOURCE, SOURCE], {"strength": 0.5}, "image_reference"),
        (SOURCE, {"mask_image": 5}, "a picture of PIL"),
        (SOURCE, {"image_reference": [SOURCE]}, "give references alone as image"),
        (SOURCE, {"strength": "much"}, "give a number"),
        (SOURCE, {"strength": 0.0, "num_inference_steps": 4}, "above 0"),
        (SOURCE, {"outpaint": 64}, "top, right, bottom and left"),
        (SOURCE, {"outpaint": (0, 64)}, "top, right, bottom and"),
        ((), {"strength": 0.5}, "give the source"),
        ((), {"mask_image": Image.fromarray(MASK)}, "give the source"),
        (SOURCE, {"mask_image": Image.new("L", (5, 5))}, "black all over"),
        (SOURCE, {"mask_image": Image.new("L", (5, 5), 255)}, "white all over"),
        (SOURCE.resize((30, 30)), {"strength": 0.5}, "enlarge it 3 times"),
        (SOURCE, {"outpaint": (0, 4000, 0, 0)}, "room for 3971"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_work(image: Any, others: dict[str, Any], remedy: str) -> None:
    pipe = Flux2Pipeline.from_pretrained("pocket")
    with pytest.raises(RequestError, match=remedy):
        pipe("a red fox", image=image, **others)
    assert not pipe.transformer_loaded
