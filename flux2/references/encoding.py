"""One picture through the autoencoder's encoder: clean latents, as the transformer's tokens."""

from __future__ import annotations

from typing import NamedTuple

from flux2.backend.mlx import mx
from flux2.models.autoencoder import AutoencoderKLFlux2
from flux2.models.evaluation import AfterBlock
from flux2.pictures.as_seen import Pixels


class EncodedPicture(NamedTuple):
    """A picture as the transformer is told of it."""

    latents: mx.array
    """Clean latents, packed, float32 [1, rows · columns, channels]."""
    grid: tuple[int, int]
    """Rows and columns, in tokens."""


def encode_picture(vae: AutoencoderKLFlux2, pixels: Pixels, after_stage: AfterBlock = mx.eval) -> mx.array:
    """Clean latents of a picture, packed, float32 [1, height / 16 · width / 16, channels].

    They are the mean of what the encoder gives, patchified and normalised: what `unpack` and `decode` undo.

    Args:
        vae: with its encoder's weights (`flux2.checkpoint.networks.VAE_ENCODER`); what is computed in is their dtype.
        pixels: of a picture whose sides are multiples of 16.
        after_stage: called with the bands that each of `encode_stages` made, and has to evaluate them; it may count
            them, and raise to stop.
    """
    height, width, _ = pixels.shape
    token = vae.config.scale_factor * vae.config.patch_size[0]
    assert height % token == width % token == 0, pixels.shape
    picture = mx.array(pixels)[None].astype(mx.float32) / 127.5 - 1
    latents = vae.encode(picture, after_stage).flatten(1, 2)
    mx.eval(latents)
    return latents
