"""What the picture is becoming, shown after every step for next to nothing.

Latents are close to a linear code of colours: one matrix turns each token's 128 channels into a tile of RGB pixels,
a ten-thousandth of a decode. A tile reaches half-way into its neighbours and fades out towards its edges, so that the
tiles add up to a picture without seams. The matrix belongs to an autoencoder. It is found once, by ridge regression
on simple pictures sent through that autoencoder's own encoder, and kept in the cache folder; the embedded model's is
in the package, so that nobody's first picture waits for it.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from flux2.architecture.limits import TOKEN_PIXELS
from flux2.backend.mlx import mx
from flux2.checkpoint.layout import Component
from flux2.disk.atomic import write_atomically
from flux2.disk.digest import sealed, unsealed
from flux2.disk.private import make_private, read_own
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.paths import cache_dir, pocket_checkpoint

Array = npt.NDArray[np.float32]

BLOCK = 4  # a token's side in a preview, in pixels
TILE = 2 * BLOCK  # with the halves of its neighbours
MAX_SIDE = 256  # pixels
_PICTURES, _PICTURE_SIDE = 40, 64
_RIDGE = 1.0  # of the features' mean square
_FINGERPRINTED = 1 << 20  # bytes at either end of a file
IN_PACKAGE = pocket_checkpoint().parent / "previews"
_FORMAT = 3  # of the file, and of the pictures it was fitted on


class DrawnPreview(NamedTuple):
    """A preview as it is sent."""

    width: int
    """Pixels."""
    height: int
    png: bytes


@dataclass(frozen=True, slots=True)
class PreviewProjection:
    """The colours of a token as a linear function of its channels."""

    matrix: Array
    """[channels, TILE · TILE · 3]"""
    offset: Array
    """[TILE · TILE · 3]"""

    def draw(self, tokens: Array, height: int, width: int) -> DrawnPreview:
        """A picture of normalised latents [height · width, channels], at most MAX_SIDE pixels per side."""
        tiles = tokens @ self.matrix + self.offset
        pixels = np.clip((_join(tiles.reshape(height, width, TILE, TILE, 3)) + 1) * 127.5, 0, 255)
        image = Image.fromarray(np.rint(pixels).astype(np.uint8))
        scale = min(MAX_SIDE / max(image.size), TOKEN_PIXELS / BLOCK)
        size = round(image.width * scale), round(image.height * scale)
        buffer = io.BytesIO()
        # It travels over a local socket and is looked at once.
        image.resize(size, Image.Resampling.BICUBIC).save(buffer, "PNG", compress_level=1)
        return DrawnPreview(*size, buffer.getvalue())


def _join(tiles: Array) -> Array:
    """Tiles [height, width, TILE, TILE, 3] laid over each other → [height · BLOCK, width · BLOCK, 3]."""
    height, width = tiles.shape[:2]
    fade = 1 - np.abs((np.arange(TILE, dtype=np.float32) + 0.5) / BLOCK - 1)  # two neighbours' sum is 1
    weights = np.broadcast_to(np.outer(fade, fade)[..., None], (*tiles.shape[:-1], 1))
    weighted = np.concatenate([tiles * weights, weights], axis=-1)
    canvas = np.zeros(((height + 1) * BLOCK, (width + 1) * BLOCK, 4), np.float32)
    for top in (0, BLOCK):
        for left in (0, BLOCK):
            quarters = weighted[:, :, top : top + BLOCK, left : left + BLOCK].transpose(0, 2, 1, 3, 4)
            place = canvas[top : top + height * BLOCK, left : left + width * BLOCK]
            place += quarters.reshape(place.shape)
    margin = BLOCK // 2
    inside = canvas[margin:-margin, margin:-margin]
    return np.divide(inside[..., :3], inside[..., 3:], dtype=np.float32)


def _tiles(pixels: Array) -> Array:
    """The tile around each token of a picture [height · BLOCK, width · BLOCK, 3] → [tokens, TILE · TILE · 3]."""
    margin = BLOCK // 2
    padded = np.pad(pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    tiles = np.lib.stride_tricks.sliding_window_view(padded, (TILE, TILE), axis=(0, 1))[::BLOCK, ::BLOCK]
    return tiles.transpose(0, 1, 3, 4, 2).reshape(-1, TILE * TILE * 3)


def find_projection(vae: Component, load_encoder: Callable[[], AutoencoderKLFlux2]) -> PreviewProjection:
    """The projection of this autoencoder: as it was kept, or fitted now and kept."""
    projection = load_projection(vae)
    if projection is None:
        projection = fit_projection(load_encoder())
        save_projection(vae, projection)
    return projection


def fit_projection(vae: AutoencoderKLFlux2) -> PreviewProjection:
    """Ridge regression of the pixels of simple pictures on their latents."""
    features, targets = zip(*_examples(vae), strict=True)
    x, y = np.concatenate(features).astype(np.float64), np.concatenate(targets).astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x
    ridge = _RIDGE * np.trace(gram) / len(gram) * np.eye(len(gram))
    matrix = np.linalg.lstsq(gram + ridge, x.T @ y)[0]  # also where every latent is the same: then it is zero
    return PreviewProjection(matrix.astype(np.float32), (y_mean - x_mean @ matrix).astype(np.float32))


def load_projection(vae: Component) -> PreviewProjection | None:
    """The projection of this autoencoder, if it was fitted before and the file is whole."""
    name = _file_name(vae)
    for folder in (_cache(), IN_PACKAGE):
        with contextlib.suppress(OSError, ValueError, EOFError, IndexError):
            kept = folder / name
            content = kept.read_bytes() if folder == IN_PACKAGE else unsealed(name, read_own(kept))
            rows = np.load(io.BytesIO(content), allow_pickle=False)
            return PreviewProjection(rows[:-1], rows[-1])
    return None


def save_projection(vae: Component, projection: PreviewProjection, folder: Path | None = None) -> None:
    """Keep it for later runs; a cache folder that can't be written costs a second the next time, no more."""
    path = (folder or _cache()) / _file_name(vae)
    rows = io.BytesIO()
    np.save(rows, np.vstack([projection.matrix, projection.offset]))
    with contextlib.suppress(OSError):
        if folder is None:
            make_private(path.parent)
        write_atomically(path, sealed(path.name, rows.getvalue()) if folder is None else rows.getvalue())


def _cache() -> Path:
    return cache_dir() / "previews"


def _file_name(vae: Component) -> str:
    return f"{_fingerprint(vae)}.npy"


def _fingerprint(vae: Component) -> str:
    """Digest of the autoencoder's config, and of size and both ends of its files, whose headers name all tensors."""
    digest = hashlib.sha256(json.dumps([_FORMAT, vae.config], sort_keys=True).encode())
    for path in vae.files:
        with path.open("rb") as file:
            digest.update(file.read(_FINGERPRINTED))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _FINGERPRINTED))
            digest.update(file.read() + str(size).encode())
    return digest.hexdigest()[:32]


def _examples(vae: AutoencoderKLFlux2) -> Iterator[tuple[Array, Array]]:
    """Latents of each picture's tokens, and the tiles they stand for."""
    small = _PICTURE_SIDE // TOKEN_PIXELS * BLOCK
    shrink = _PICTURE_SIDE // small
    for picture in _pictures():
        latents = np.asarray(vae.encode(mx.array(picture[None])).astype(mx.float32))
        means = picture.reshape(small, shrink, small, shrink, 3).mean(axis=(1, 3))
        yield latents.reshape(-1, latents.shape[-1]), _tiles(means)


def _pictures() -> Iterator[Array]:
    """Pictures [side, side, 3], −1 to 1, of what pictures are made of: gradients, edges, discs, stripes, grain."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[0:_PICTURE_SIDE, 0:_PICTURE_SIDE].astype(np.float32) / _PICTURE_SIDE
    for _ in range(_PICTURES):
        corners = random.uniform(-1, 1, (4, 3)).astype(np.float32)
        top = corners[0] + (corners[1] - corners[0]) * x[..., None]
        bottom = corners[2] + (corners[3] - corners[2]) * x[..., None]
        picture = top + (bottom - top) * y[..., None]
        for _ in range(12):
            cover = _shape(random, x, y)[..., None]
            picture = picture + (random.uniform(-1, 1, 3).astype(np.float32) - picture) * cover
        grain = random.normal(0, random.choice([0, 0.02, 0.06]), picture.shape)
        yield np.clip(picture + grain, -1, 1).astype(np.float32)


def _shape(random: np.random.Generator, x: Array, y: Array) -> Array:
    """How much a random soft-edged disc, half-plane or field of stripes covers each pixel, 0 to 1."""
    centre_x, centre_y, angle = random.uniform(0, 1), random.uniform(0, 1), random.uniform(0, np.pi)
    along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
    across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
    sharpness = _PICTURE_SIDE * random.uniform(0.1, 1)
    radius = random.uniform(0.02, 0.35)
    distances = (
        radius - np.hypot(along, across * random.uniform(0.5, 3)),
        radius / 2 - np.abs(along),
        np.sin(along / radius * np.pi) * radius / 4 - np.maximum(np.abs(across) - radius, 0),
    )
    distance = distances[random.integers(len(distances))]
    cover: Array = np.clip(distance * sharpness + 0.5, 0, 1).astype(np.float32)
    return cover
