"""Between pictures and the latents the transformer works on: autoencoder, 2 x 2 patches, normalisation."""

from __future__ import annotations

import numpy as np
import torch
from diffusers import AutoencoderKLFlux2
from numpy.typing import NDArray
from torch import Tensor

from .loop import COMPUTE

Noise = NDArray[np.float32]
LATENT_CHANNELS = 128
PATCH = 16
"""Pixels along one side of a latent token."""


def patchify(latents: Tensor) -> Tensor:
    """[n, c, h, w] to [n, 4 c, h / 2, w / 2], in FLUX.2's order (channel, row, column)."""
    n, c, h, w = latents.shape
    return latents.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)


def unpatchify(latents: Tensor) -> Tensor:
    n, c, h, w = latents.shape
    return latents.reshape(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def image_ids(rows: int, columns: int) -> Tensor:
    """Positions (0, row, column, 0) of the latent tokens."""
    zero = torch.arange(1)
    return torch.cartesian_prod(zero, torch.arange(rows), torch.arange(columns), zero)


def text_ids(length: int) -> Tensor:
    """Positions (0, 0, 0, i) of the text tokens."""
    zero = torch.arange(1)
    return torch.cartesian_prod(zero, zero, zero, torch.arange(length))


def seeded_noise(seed: int, width: int, height: int) -> Noise:
    """Noise [128, height / 16, width / 16], the same on every machine for the same seed."""
    shape = (LATENT_CHANNELS, height // PATCH, width // PATCH)
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


class Normalization:
    """The frozen autoencoder with its BatchNorm statistics: pictures in -1..1 to latents [n, tokens, 128] and back."""

    def __init__(self, autoencoder: AutoencoderKLFlux2) -> None:
        self.autoencoder = autoencoder
        statistics = autoencoder.bn
        self._mean = statistics.running_mean.float().view(1, -1, 1, 1)
        self._deviation = (statistics.running_var.float() + autoencoder.config.batch_norm_eps).sqrt().view(1, -1, 1, 1)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        latents = patchify(self.autoencoder.encode(images.to(COMPUTE)).latent_dist.mode().float())
        return ((latents - self._mean) / self._deviation).flatten(2).transpose(1, 2)

    @torch.no_grad()
    def decode(self, latents: Tensor, width: int, height: int) -> Tensor:
        grid = latents.float().transpose(1, 2).unflatten(2, (height // PATCH, width // PATCH))
        spread = unpatchify(grid * self._deviation + self._mean).to(COMPUTE)
        return torch.cat([self.autoencoder.decode(part).sample.float() for part in spread.split(64)])
