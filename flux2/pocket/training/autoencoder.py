"""Stage 1: the autoencoder, on crops first, on whole pictures for the last third of the time."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers import AutoencoderKLFlux2
from torch import Tensor
from torch.nn import functional as F

from .latents import patchify
from .loop import COMPUTE, DEVICE, ON_GPU, Schedule, Task, Trainer, say, share
from .networks import new_autoencoder
from .shelves import Library, Pictures, as_image

KL_WEIGHT = 1e-3
LATENT_NOISE = 0.3
"""Half of the latents are decoded with noise of up to this much of their deviation: what the transformer makes is
never quite on the spot, and has to look clean all the same."""
HELD_BACK = 64
"""The first square pictures are for measuring."""


def train_autoencoder(library: Library, seconds: float, batch: int, state: Path) -> AutoencoderKLFlux2:
    autoencoder = new_autoencoder().to(DEVICE)
    square = library.pictures[0]
    library.wait_for(8 * HELD_BACK if ON_GPU else HELD_BACK + 8)
    held_back = as_image(square.pixels[:HELD_BACK])
    trainer = Trainer(
        "autoencoder",
        [autoencoder],
        Schedule(seconds, learning_rate=2e-3, warmup=200, decay=0.55),
        [
            Task(lambda: loss(autoencoder, crops(square, batch, 128)), end=0.65),
            Task(lambda: loss(autoencoder, crops(square, max(1, batch * 3 // 8), 256)), start=0.65),
        ],
    )
    if state.exists():
        trainer.restore(state)
    trainer.run(library.take_in, lambda: f"PSNR {psnr(autoencoder, held_back):.2f} dB", state)
    measure_statistics(autoencoder, square)
    autoencoder.eval().requires_grad_(False)
    for others in library.pictures:
        ratio = psnr(autoencoder, as_image(others.pixels[:HELD_BACK]))
        say(f"autoencoder: PSNR {ratio:.2f} dB at {others.size[0]}x{others.size[1]}")
    return autoencoder


def crops(pictures: Pictures, count: int, side: int) -> Tensor:
    """Random square crops of random pictures, [count, 3, side, side] in -1..1."""
    which = HELD_BACK + (torch.rand(count, device=DEVICE) * (pictures.counter - HELD_BACK)).long()
    room = pictures.pixels.shape[1] - side + 1
    top, left = torch.randint(room, (2, count, 1), device=DEVICE)
    along = torch.arange(side, device=DEVICE)
    rows, columns = (top + along)[:, :, None], (left + along)[:, None, :]
    return as_image(pictures.pixels[which[:, None, None], rows, columns])


def loss(autoencoder: AutoencoderKLFlux2, images: Tensor) -> Tensor:
    """L1 of pixels, of their gradients (edges) and of 4 x 4 means (flat colour), with a little KL."""
    with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
        mean, log_variance = autoencoder._encode(images).float().chunk(2, 1)
        log_variance = log_variance.clamp(-20, 8)
        latents = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        noisy = torch.rand(len(images), 1, 1, 1, device=DEVICE) * 2 - 1
        deviation = mean.detach().std((0, 2, 3), keepdim=True)
        latents = latents + torch.randn_like(mean) * deviation * LATENT_NOISE * noisy.clamp(min=0)
        decoded = autoencoder._decode(latents).sample.float()
    edges = sum((decoded.diff(dim=axis) - images.diff(dim=axis)).abs().mean() for axis in (2, 3))
    flat = (F.avg_pool2d(decoded, 4) - F.avg_pool2d(images, 4)).abs().mean()
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).mean()
    return (decoded - images).abs().mean() + 0.5 * edges + 0.5 * flat + KL_WEIGHT * divergence


@torch.no_grad()
def measure_statistics(autoencoder: AutoencoderKLFlux2, pictures: Pictures) -> None:
    """Set the BatchNorm buffers to the statistics of the latents.

    The variance is floored: channels the autoencoder does not use would be blown up by the normalisation otherwise.
    """
    latents = []
    for images in pictures.pixels[: min(pictures.count, 4096)].split(64):
        with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
            latents.append(patchify(autoencoder.encode(as_image(images)).latent_dist.mode().float()))
    every = torch.cat(latents).double()
    mean, variance = every.mean((0, 2, 3)), every.var((0, 2, 3))
    floor = 0.02 * variance.median()
    say(f"autoencoder: {int((variance < floor).sum())} of {len(variance)} latent channels are unused")
    autoencoder.bn.running_mean.copy_(share(mean.float()))
    autoencoder.bn.running_var.copy_(share(variance.clamp(min=floor).float()))


@torch.no_grad()
def psnr(autoencoder: AutoencoderKLFlux2, images: Tensor) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of their reconstructions, in dB."""
    ratios = []
    for part in images.split(16):
        with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
            decoded = autoencoder.decode(autoencoder.encode(part).latent_dist.mode()).sample.float()
        error = ((decoded.clamp(-1, 1) - part) / 2).square().mean((1, 2, 3))
        ratios.append(-10 * error.log10())
    return float(torch.cat(ratios).mean())
