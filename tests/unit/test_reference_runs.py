"""References in a run: encoded once, cached where the model was trained for it, part of what it is; refused early."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from flux2 import Flux2Pipeline
from flux2 import events as ev
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.reference_caching import caches_references
from flux2.backend.mlx import mx
from flux2.checkpoint.networks import NetworkSource
from flux2.denoise.resume import identify
from flux2.denoise.steps import unpack
from flux2.errors import Flux2Error, GenerationCancelled, RequestError
from flux2.inputs.attachment import Attachment
from flux2.models.reference_cache import ReferenceCache
from flux2.models.transformer_blocks import TransformerBlock
from flux2.pictures.attachments import attach
from flux2.references import picture_encoder
from flux2.references.picture_encoder import PictureEncoder
from flux2.references.reference_pictures import encodable
from flux2.reporting import RunReport
from flux2.request import GenerationRequest

SMALL: dict[str, Any] = {"width": 64, "height": 64, "num_inference_steps": 2, "max_sequence_length": 32}


def picture(shade: int, size: tuple[int, int] = (80, 64)) -> Image.Image:
    return Image.new("RGB", size, (shade, 90, 255 - shade))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def pocket() -> Iterator[Flux2Pipeline]:
    yield Flux2Pipeline.from_pretrained("pocket", "float32")


@pytest.fixture
def pipe(pocket: Flux2Pipeline) -> Iterator[Flux2Pipeline]:
    """A pipeline that knows no pictures; its transformer stays."""
    pocket._pictures.forget()
    pocket._transformer.forget_references()
    pocket.cache_references = False
    yield pocket


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of the pictures that went through the autoencoder."""
    shapes: list[tuple[int, ...]] = []
    encode = picture_encoder.encode_picture

    def noting(vae: Any, pixels: Any, *rest: Any) -> Any:
        shapes.append(pixels.shape)
        return encode(vae, pixels, *rest)

    monkeypatch.setattr(picture_encoder, "encode_picture", noting)
    return shapes


def made(pipe: Flux2Pipeline, images: Sequence[Image.Image], **named: Any) -> np.ndarray:
    return np.asarray(pipe("the same at night", image=images, **{**SMALL, "seed": 1, **named}).images[0])


def test_a_picture_is_encoded_once(pipe: Flux2Pipeline, encoded: list[tuple[int, ...]]) -> None:
    first = made(pipe, [picture(10), picture(200), picture(10)])
    assert encoded == [(64, 80, 3)] * 2
    np.testing.assert_array_equal(made(pipe, [picture(10), picture(200), picture(10)]), first)
    made(pipe, [picture(200)], seed=2)
    pipe._pictures.forget()
    made(pipe, [picture(10)])  # the disk remembers
    assert len(encoded) == 2
    made(pipe, [picture(10)], reference_pixels=64 * 64)  # is another picture
    assert encoded[2:] == [(48, 64, 3)]


def test_only_new_pictures_need_a_phase(pipe: Flux2Pipeline) -> None:
    phases: list[str] = []

    def note(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted):
            phases.append(event.phase)

    for expected in (True, False):
        phases.clear()
        made(pipe, [picture(30)], on_event=note)
        assert ("references" in phases) is expected
    made(pipe, [])
    assert "references" not in phases


def test_another_autoencoder_dtype_or_picture_is_another_entry(pipe: Flux2Pipeline) -> None:
    wanted = [encodable(Attachment(digest="a", width=64, height=64), None, {})]
    report = RunReport()
    zeros = [replace_pixels(each) for each in wanted]
    pipe._pictures.encode(zeros, report)
    other = PictureEncoder(pipe.checkpoint, picture_encoder.mx.float16)
    assert PictureEncoder(pipe.checkpoint, picture_encoder.mx.float32).knows(zeros)
    assert not other.knows(zeros)
    assert not pipe._pictures.knows([zeros[0]._replace(key="another")])


def replace_pixels(each: picture_encoder.Encodable) -> picture_encoder.Encodable:
    return each._replace(pixels=lambda: np.zeros((64, 64, 3), np.uint8))


def test_the_autoencoders_encoder_is_gone_afterwards(pipe: Flux2Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []
    load = NetworkSource.load

    def noting(self: NetworkSource, *rest: Any, **named: Any) -> Any:
        loads.append(self.kind.folder + str(self.kind.dropped))
        return load(self, *rest, **named)

    monkeypatch.setattr(NetworkSource, "load", noting)
    active: dict[str, int] = {}

    def note(event: ev.Event) -> None:
        if isinstance(event, ev.PhaseStarted | ev.PhaseFinished):
            active[f"{type(event).__name__} {event.phase}"] = event.memory.active

    made(pipe, [picture(40)], on_event=note)
    assert active["PhaseFinished references"] - active["PhaseStarted references"] < 1 << 20
    assert sum("decoder" in name for name in loads) == 1  # whose decoder was dropped
    made(pipe, [picture(40)])
    assert sum("decoder" in name for name in loads) == 1


def test_what_is_cached_is_kept_for_other_seeds_and_prompts(
    pipe: Flux2Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    alone = TransformerBlock.attend_alone

    def counting(self: TransformerBlock, image: Any, *rest: Any) -> Any:
        passes.append(image.shape[1])
        return alone(self, image, *rest)

    monkeypatch.setattr(TransformerBlock, "attend_alone", counting)
    pipe.cache_references = True
    blocks = len(pipe._transformer.source.build().transformer_blocks)
    ordinary = made(pipe, [picture(50)])
    assert passes == [20] * blocks
    cache = kept(pipe)
    assert cache.complete and cache.nbytes > 0
    made(pipe, [picture(50)], seed=2)
    pipe("another prompt", image=[picture(50)], seed=1, **SMALL)
    np.testing.assert_array_equal(made(pipe, [picture(50)]), ordinary)
    assert len(passes) == blocks
    made(pipe, [picture(60)])  # other references, other keys and values
    assert len(passes) == 2 * blocks
    assert kept(pipe) is not cache
    made(pipe, [])
    assert pipe._transformer._references is None  # none without references, and none left over
    made(pipe, [picture(60)], keep_transformer=False)
    assert pipe._transformer._references is None


def test_a_streamed_transformer_keeps_what_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    alone = TransformerBlock.attend_alone

    def counting(self: TransformerBlock, image: Any, *rest: Any) -> Any:
        passes.append(image.shape[1])
        return alone(self, image, *rest)

    monkeypatch.setattr(TransformerBlock, "attend_alone", counting)
    streamed = Flux2Pipeline.from_pretrained("pocket", "float32", residency="streamed")
    streamed.cache_references = True
    made(streamed, [picture(50)])
    blocks = len(passes)
    assert blocks > 0
    made(streamed, [picture(50)], seed=2)
    assert len(passes) == blocks


@pytest.mark.parametrize("cached", [False, True])
def test_a_run_that_is_taken_up_draws_the_same_to_the_last_bit(pipe: Flux2Pipeline, cached: bool) -> None:
    pipe.cache_references = cached
    after: list[mx.array] = []

    def keep(_pipe: Flux2Pipeline, _step: int, _sigma: float, tensors: dict[str, mx.array]) -> None:
        after.append(tensors["latents"])

    undisturbed = made(pipe, [picture(20)], callback_on_step_end=keep)
    pipe.unload()
    latents = unpack(after[0], 64, 64)
    np.testing.assert_array_equal(made(pipe, [picture(20)], latents=latents, first_step=1), undisturbed)


def test_a_run_that_was_cancelled_leaves_no_half_cache(pipe: Flux2Pipeline) -> None:
    pipe.cache_references = True
    whole = made(pipe, [picture(70)])
    pipe._transformer.forget_references()
    blocks = 0

    def in_the_first_step() -> bool:
        nonlocal blocks
        references = pipe._transformer._references
        blocks += bool(references and references[1].blocks)
        return blocks > 1

    with pytest.raises(GenerationCancelled):
        made(pipe, [picture(70)], should_cancel=in_the_first_step)
    assert kept(pipe).blocks and not kept(pipe).complete
    np.testing.assert_array_equal(made(pipe, [picture(70)]), whole)


def kept(pipe: Flux2Pipeline) -> ReferenceCache:
    assert pipe._transformer._references
    return pipe._transformer._references[1]


@pytest.mark.parametrize(
    ("pipeline", "place", "expected"),
    [
        ("Flux2KleinKVPipeline", "/models/mine", True),
        ("Flux2KleinPipeline", "/models/mine", False),
        ("Flux2KleinPipeline", "/hub/models--black-forest-labs--FLUX.2-klein-9b-kv/snapshots/0a1b2c", True),
        ("Flux2KleinPipeline", "/hub/models--black-forest-labs--FLUX.2-klein-9B/snapshots/0a1b2c", False),
        ("Flux2KleinPipeline", "/models/flux-2-klein-9b-kv-fp8.safetensors", True),
        ("Flux2KleinPipeline", "/models/kv/klein-9b", False),
        ("Flux2Pipeline", "/models/FLUX.2-dev", False),
    ],
)
def test_which_checkpoints_cache_references(pipeline: str, place: str, expected: bool) -> None:
    assert caches_references({"_class_name": pipeline}, Path(place)) is expected


def test_no_other_model_of_the_catalog_does() -> None:
    found = [name for name, known in ARCHITECTURES.items() if caches_references(known.index, Path(name))]
    assert found == ["klein-9b-kv"]
    assert not Flux2Pipeline.from_pretrained("pocket").cache_references


def test_references_are_part_of_what_a_run_is() -> None:
    one, other = (Attachment(digest=digit * 64, width=64, height=64) for digit in "ab")
    requests = [
        GenerationRequest(prompt="-", references=references, reference_pixels=pixels)
        for references in ((), (one,), (one, other), (other, one))
        for pixels in (None, 64 * 64)
    ]
    assert len({identify(request, "float32", ()) for request in requests}) == len(requests)
    renamed = replace(requests[2], references=(replace(one, name="fox.png"),))
    assert identify(renamed, "float32", ()) == identify(requests[2], "float32", ())


def test_an_attached_picture_is_the_same_as_one_in_memory(pipe: Flux2Pipeline, home: Path) -> None:
    place = home / "fox.png"
    picture(80).save(place)
    request = GenerationRequest(
        prompt="the same at night", references=(attach(place),), width=64, height=64, steps=2, seed=1,
        max_sequence_length=32,
    )  # fmt: skip
    place.unlink()  # the store has it
    image = pipe.run(pipe.completed(request), RunReport(), previews=False)
    np.testing.assert_array_equal(np.asarray(image), made(pipe, [picture(80)]))


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (picture(0, (63, 100)), "The reference 1 has 63×100 pixels"),
        ([picture(0), picture(0, (1000, 100))], "The reference 2 has 1000×100"),
        ([picture(0)] * 11, "11 references"),
        ("absent.png", r"absent\.png can't be read"),
        (7, "image is a int; give a picture of PIL"),
        ([np.zeros((64, 64, 3))], "image is a ndarray; give a picture of PIL"),
    ],
)
def test_refused_before_any_work(pipe: Flux2Pipeline, image: Any, said: str) -> None:
    events: list[ev.Event] = []
    with pytest.raises(Flux2Error, match=said):
        pipe("x", image=image, **SMALL, on_event=events.append)
    assert not events


def test_a_picture_that_is_gone_or_another_is_said(pipe: Flux2Pipeline, home: Path) -> None:
    place = home / "fox.png"
    picture(90).save(place)
    attachment = attach(place)
    for wrong, said in (
        (replace(attachment, digest="0" * 64), "attach it again"),
        (replace(attachment, width=96), "was said to have 96×64"),
    ):
        request = pipe.completed(GenerationRequest(prompt="x", references=(wrong,), steps=1, max_sequence_length=16))
        with pytest.raises(RequestError, match=said):
            pipe.run(request, RunReport(), previews=False)
