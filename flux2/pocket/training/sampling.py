"""Euler sampling as the pipeline does it, in batches."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import torch
from diffusers.pipelines.flux2.pipeline_flux2_klein import compute_empirical_mu
from torch import Tensor

from .latents import PATCH, image_ids, seeded_noise
from .loop import COMPUTE, DEVICE, ON_GPU
from .model import Pocket


def sigmas(tokens: int, steps: int, mu: float | None = None) -> list[float]:
    """The pipeline's noise levels, from 1 down to 0 (steps + 1 of them)."""
    times = np.linspace(1, 1 / steps, steps)
    shift = math.exp(compute_empirical_mu(tokens, steps) if mu is None else mu)
    return [*(float(shift / (shift + 1 / t - 1)) for t in times), 0.0]


@torch.no_grad()
def sample(
    model: Pocket,
    embeddings: Tensor,
    noise: Tensor,
    size: tuple[int, int],
    steps: int,
    guidance: float = 1.0,
    mu: float | None = None,
    without: Tensor | None = None,
) -> Tensor:
    """Latents [n, tokens, 128] from noise; guidance leads away from `without`, embeddings [1, length, width]."""
    ids = image_ids(size[1] // PATCH, size[0] // PATCH).to(DEVICE)
    levels = sigmas(noise.shape[1], steps, mu)
    latents, count = noise.float(), len(noise)
    if without is not None:
        embeddings = torch.cat([embeddings, without.expand(count, -1, -1)])
    with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
        for level, following in pairwise(levels):
            both = latents if without is None else torch.cat([latents, latents])
            sigma = torch.full((len(both),), level, device=DEVICE)
            velocity = model.velocity(both, sigma, embeddings, ids).float()
            if without is not None:
                guided, free = velocity.split(count)
                velocity = free + guidance * (guided - free)
            latents = latents + (following - level) * velocity
    return latents


@torch.no_grad()
def draw_prompts(
    model: Pocket,
    prompts: list[str],
    size: tuple[int, int],
    steps: int,
    seed: int = 0,
    guidance: float = 1.0,
    pad_to: int = 64,
) -> Tensor:
    """Pictures [n, 3, H, W] in -1..1."""
    pictures = []
    for start in range(0, len(prompts), 128):
        part = prompts[start : start + 128]
        noises = np.stack([seeded_noise(seed + start + i, *size) for i in range(len(part))])
        noise = torch.from_numpy(noises).flatten(2).transpose(1, 2).to(DEVICE)
        with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
            embeddings = model.embed_prompts(part, pad_to)
            without = model.embed_prompts([""], pad_to) if guidance != 1 else None
        latents = sample(model, embeddings, noise, size, steps, guidance, without=without)
        pictures.append(model.normalization.decode(latents, *size))
    return torch.cat(pictures).clamp(-1, 1)
