"""Reference pictures equal diffusers': what is made of a picture, its latents, and those of pictures made with them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

import engine
import networks
import numpy as np
import pytest
from compare import RELATIVE_LIMIT, relative_error
from PIL import Image
from recordings import RECORDINGS, Recording
from reference_pictures import PICTURES
from reference_recordings import ReferenceRecording, encoded_pictures, prepared_digests, recorded_runs

from flux2 import Flux2Pipeline
from flux2.architecture.reference_sizes import prepared_size
from flux2.backend.mlx import mx
from flux2.models import autoencoder, rope, transformer
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.references import reference_pictures
from flux2.references.encoding import Pixels, encode_picture
from flux2.references.preparing import shrink_and_crop

RUNS = list(recorded_runs())
SENSITIVE = ["base/2", "dev/2"]


@pytest.mark.parametrize("name", PICTURES)
def test_what_is_encoded_of_a_picture(name: str) -> None:
    image, expected = PICTURES[name](), prepared_digests()[name]
    pixels = shrink_and_crop(image)
    assert list(prepared_size(*image.size).cropped) == expected["size"] == [*pixels.shape[1::-1]]
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected["digest"]


@pytest.mark.parametrize("name", encoded_pictures())
def test_clean_latents(name: str) -> None:
    latents = encode_picture(vae(), shrink_and_crop(PICTURES[name]()))
    assert relative_error(latents, encoded_pictures()[name]) <= RELATIVE_LIMIT


@pytest.mark.parametrize("name", RUNS)
def test_a_picture_made_with_references(name: str) -> None:
    assert error_of(name) <= RELATIVE_LIMIT


@pytest.mark.parametrize("name", ["cached/1", "cached/3"])
def test_streamed_blocks_keep_what_is_cached(name: str) -> None:
    assert error_of(name, residency="streamed") <= RELATIVE_LIMIT


def error_of(
    name: str, arranged: Callable[[Sequence[Image.Image]], Sequence[Image.Image]] = lambda images: images, **how: Any
) -> float:
    """How far the engine's latents are from a recording's.

    Args:
        arranged: does something to the references.
    """
    recorded = recorded_runs()[name]
    pipe = Flux2Pipeline.from_pretrained(recorded.run.checkpoint, dtype="float32", **how)
    pipe.cache_references = recorded.cached
    return relative_error(generated(pipe, recorded, arranged(references(recorded))), recorded.latents)


def references(recorded: ReferenceRecording) -> list[Image.Image]:
    """The run's pictures as diffusers takes them: here transparent ones would be put on white, and the like."""
    return [Image.fromarray(shrink_and_crop(PICTURES[name]())) for name in recorded.pictures]


def generated(pipe: Flux2Pipeline, recorded: ReferenceRecording, images: Sequence[Image.Image]) -> np.ndarray:
    """Latents after the last step."""
    latents: list[np.ndarray] = []

    def keep(_pipe: Flux2Pipeline, _step: int, _sigma: float, tensors: dict[str, mx.array]) -> None:
        latents.append(np.array(tensors["latents"]))

    arguments = {name: recorded.run.arguments[name] for name in engine.ARGUMENTS}
    pipe(**arguments, image=images, latents=recorded.run["noise"], callback_on_step_end=keep)
    return latents[-1]


def vae() -> AutoencoderKLFlux2:
    return networks.encoder(Recording(RECORDINGS / "distilled" / "checkpoint", {}, {}))


# The comparison can fail: each of the faults that engines are known for is put in, and must be found.


@pytest.mark.parametrize("name", SENSITIVE)
@pytest.mark.parametrize(("first", "step"), [(0, 10), (10, 0)])
def test_wrong_times_are_found(name: str, first: int, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rope, "FIRST_TIME", first)
    monkeypatch.setattr(rope, "TIME_STEP", step)
    assert error_of(name) > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("name", SENSITIVE)
def test_another_order_is_found(name: str) -> None:
    assert error_of(name, lambda images: images[::-1]) > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("name", SENSITIVE)
def test_enlarged_small_references_are_found(name: str) -> None:
    def enlarged(images: Sequence[Image.Image]) -> list[Image.Image]:
        return [image.resize((2 * image.width, 2 * image.height)) for image in images]

    assert error_of(name, enlarged) > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("name", ["base/1", "dev/1"])
def test_another_crop_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def corner(image: Image.Image, _: int | None = None) -> Pixels:
        width, height = prepared_size(*image.size).cropped
        return np.asarray(image.crop((0, 0, width, height)))

    monkeypatch.setattr(reference_pictures, "shrink_and_crop", corner)
    uncropped = [PICTURES[name]() for name in recorded_runs()[name].pictures]
    assert error_of(name, lambda _: uncropped) > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("name", SENSITIVE)
def test_a_timestep_of_their_own_is_found(name: str) -> None:
    recorded = recorded_runs()[name]
    pipe = Flux2Pipeline.from_pretrained(recorded.run.checkpoint, dtype="float32")
    pipe.cache_references = True  # timestep 0, and eyes for each other only
    assert relative_error(generated(pipe, recorded, references(recorded)), recorded.latents) > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("levels", [1.0, 0.5])
def test_another_timestep_of_cached_references_is_found(levels: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformer, "REFERENCE_TIMESTEP", levels)
    assert error_of("cached/3") > 10 * RELATIVE_LIMIT


@pytest.mark.parametrize("name", SENSITIVE)
def test_a_sampled_posterior_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def sampled(moments: mx.array, parts: int, axis: int) -> list[mx.array]:
        mean, log_variance = mx.split(moments, parts, axis=axis)
        noise = mx.random.normal(mean.shape, key=mx.random.key(0))
        return [mean + mx.exp(0.5 * log_variance) * noise, log_variance]

    monkeypatch.setattr(autoencoder, "mx", MLX(split=sampled))
    assert error_of(name) > 10 * RELATIVE_LIMIT


class MLX:
    """MLX with another function in place of one of its own."""

    def __init__(self, **functions: Any) -> None:
        self.__dict__.update(functions)

    def __getattr__(self, name: str) -> Any:
        return getattr(mx, name)
