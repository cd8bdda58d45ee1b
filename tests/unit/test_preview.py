"""A preview looks like the picture that its latents decode to, is small, and is fitted once per autoencoder."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flux2.backend.mlx import mx
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import VAE_DECODER, VAE_ENCODER, NetworkSource
from flux2.denoise import preview
from flux2.denoise.preview import (
    BLOCK,
    MAX_SIDE,
    TILE,
    Array,
    DrawnPreview,
    PreviewProjection,
    fit_projection,
    load_projection,
    save_projection,
)
from flux2.paths import pocket_checkpoint
from flux2.pocket.training.scenes import render
from tests.unit.checkpoints import edit_json, writable_copy

CHECKPOINT = open_checkpoint(pocket_checkpoint())


@pytest.fixture(scope="module")
def projection() -> PreviewProjection:
    return fit_projection(NetworkSource.check(CHECKPOINT, VAE_ENCODER).load(mx.float32))


def opened(drawn: DrawnPreview) -> Image.Image:
    return Image.open(io.BytesIO(drawn.png))


def noise(tokens: int) -> Array:
    return np.random.default_rng(0).standard_normal((tokens, 128), np.float32)


def similarity(a: Image.Image, b: Image.Image) -> float:
    """Correlation of the pixels, both as small as the eye at a distance."""
    small = [np.asarray(image.resize((24, 24), Image.Resampling.BOX), np.float32).ravel() for image in (a, b)]
    return float(np.corrcoef(*small)[0, 1])


def test_looks_like_what_the_latents_decode_to(projection: PreviewProjection) -> None:
    encoder, decoder = (NetworkSource.check(CHECKPOINT, kind).load(mx.float32) for kind in (VAE_ENCODER, VAE_DECODER))
    right, wrong = [], []
    previews, decoded = [], []
    for seed in range(4):
        picture = np.asarray(render(seed, 256, 256).picture.convert("RGB"), np.float32) / 127.5 - 1
        latents = encoder.encode(mx.array(picture[None]))
        pixels = np.asarray(decoder.decode(latents))[0]
        decoded.append(Image.fromarray(np.uint8(np.clip((pixels + 1) * 127.5, 0, 255))))
        previews.append(opened(projection.draw(np.array(latents.reshape(256, -1)), 16, 16)))
    for number, drawn in enumerate(previews):
        right.append(similarity(drawn, decoded[number]))
        wrong.append(similarity(drawn, decoded[number - 1]))
    print(f"preview and picture correlate by {min(right):.3f} to {max(right):.3f}")
    assert min(right) > 0.93
    assert min(right) > max(wrong)


@pytest.mark.parametrize(("height", "width"), [(4, 4), (16, 16), (12, 20), (64, 64), (64, 256), (256, 4)])
def test_is_small_and_keeps_its_shape(projection: PreviewProjection, height: int, width: int) -> None:
    drawn = projection.draw(noise(height * width), height, width)
    assert max(drawn.width, drawn.height) <= MAX_SIDE
    assert drawn.width <= 16 * width
    assert abs(drawn.width / drawn.height - width / height) <= 0.02 * width / height
    assert opened(drawn).size == (drawn.width, drawn.height)


def test_tiles_of_a_picture_join_to_the_picture() -> None:
    pixels = np.random.default_rng(0).uniform(-1, 1, (3 * BLOCK, 5 * BLOCK, 3)).astype(np.float32)
    tiles = preview._tiles(pixels).reshape(3, 5, TILE, TILE, 3)
    np.testing.assert_allclose(preview._join(tiles), pixels, atol=1e-6)


def test_is_drawn_for_wild_latents_too(projection: PreviewProjection) -> None:
    assert opened(projection.draw(1e6 * noise(16), 4, 4)).size == (64, 64)


def test_the_embedded_models_is_in_the_package(
    projection: PreviewProjection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    kept = load_projection(CHECKPOINT.vae)
    how = "make it anew: save_projection(CHECKPOINT.vae, projection, preview.IN_PACKAGE)"
    assert kept is not None, how
    assert len(list(preview.IN_PACKAGE.iterdir())) == 1
    np.testing.assert_allclose(kept.matrix, projection.matrix, atol=1e-4, err_msg=how)
    np.testing.assert_allclose(kept.offset, projection.offset, atol=1e-4, err_msg=how)


def test_is_kept_by_the_autoencoders_files(
    projection: PreviewProjection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(preview, "IN_PACKAGE", tmp_path)
    vae = CHECKPOINT.vae
    assert load_projection(vae) is None
    save_projection(vae, projection)
    kept = load_projection(vae)
    assert kept is not None
    np.testing.assert_array_equal(kept.matrix, projection.matrix)
    np.testing.assert_array_equal(kept.offset, projection.offset)

    same = open_checkpoint(writable_copy(pocket_checkpoint(), tmp_path / "same")).vae
    assert load_projection(same) is not None
    folder = writable_copy(pocket_checkpoint(), tmp_path / "other")
    edit_json(folder / "vae/config.json", batch_norm_eps=2e-4)
    assert load_projection(open_checkpoint(folder).vae) is None

    [file] = (tmp_path / "home/cache/previews").iterdir()
    file.write_bytes(file.read_bytes()[:100])
    assert load_projection(vae) is None


def test_an_unwritable_cache_is_no_failure(
    projection: PreviewProjection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").write_text("in the way")
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(preview, "IN_PACKAGE", tmp_path)
    save_projection(CHECKPOINT.vae, projection)
    assert load_projection(CHECKPOINT.vae) is None
