"""The training pictures on the GPU: as pixels for the autoencoder, as latents and tokens for the transformer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from .latents import LATENT_CHANNELS, PATCH, Normalization, image_ids
from .loop import DEVICE
from .rendering import LABELS, Chunk, take_chunk
from .scenes import CAPTIONS, SIZES
from .tokenizer import MAX_TOKENS


class Batch(NamedTuple):
    """`latents` [n, tokens, 128], normalised; `tokens` [n, MAX_TOKENS]; `lengths` [n]; `ids` [tokens, 4];
    `noise` like the latents, where a picture belongs to a particular noise."""

    latents: Tensor
    tokens: Tensor
    lengths: Tensor
    ids: Tensor
    noise: Tensor | None = None


class Shelf:
    """Up to `capacity` pictures of each size in `sizes`, which all have the same number of latent tokens.

    Everything stays at one address, and counts live on the GPU too: a recorded step may draw from it while it fills.
    """

    def __init__(self, sizes: tuple[tuple[int, int], ...], capacity: int, noise: bool = False) -> None:
        self.sizes, self.capacity = sizes, capacity
        grids = [(height // PATCH, width // PATCH) for width, height in sizes]
        positions, rows = grids[0][0] * grids[0][1], len(sizes) * capacity
        self.latents = torch.zeros(rows, positions, LATENT_CHANNELS, dtype=torch.bfloat16, device=DEVICE)
        self.noise = torch.zeros_like(self.latents) if noise else None
        self.tokens = torch.zeros(rows, CAPTIONS, MAX_TOKENS, dtype=torch.int16, device=DEVICE)
        self.lengths = torch.zeros(rows, CAPTIONS, dtype=torch.int16, device=DEVICE)
        self.ids = torch.stack([image_ids(*grid) for grid in grids]).to(DEVICE)
        self.counts = [0] * len(sizes)
        self._counts = torch.zeros(len(sizes), device=DEVICE)

    def add(self, which: int, latents: Tensor, tokens: Tensor, lengths: Tensor, noise: Tensor | None = None) -> None:
        """Put pictures of size number `which` on the shelf, as many as there is room for."""
        count = min(len(latents), self.capacity - self.counts[which])
        start = which * self.capacity + self.counts[which]
        rows = slice(start, start + count)
        self.latents[rows] = latents[:count].to(self.latents.dtype)
        self.tokens[rows] = tokens[:count]
        self.lengths[rows] = lengths[:count]
        if self.noise is not None and noise is not None:
            self.noise[rows] = noise[:count].to(self.noise.dtype)
        self.counts[which] += count
        self._counts[which] = float(self.counts[which])

    def batch(self, size: int) -> Batch:
        """Random pictures, all of the same random size, each with one of its captions; may be recorded in a graph."""
        which = torch.randint(len(self.sizes), (1,), device=DEVICE)
        rows = (torch.rand(size, device=DEVICE) * self._counts[which]).long() + which * self.capacity
        text = torch.randint(CAPTIONS, (size,), device=DEVICE)
        noise = None if self.noise is None else self.noise[rows].float()
        tokens, lengths = self.tokens[rows, text].long(), self.lengths[rows, text].long()
        return Batch(self.latents[rows].float(), tokens, lengths, self.ids[which][0], noise)


class Pictures:
    """Pixels [n, H, W, 3] and labels [n, 4] of one size."""

    def __init__(self, size: tuple[int, int], capacity: int) -> None:
        self.size = size
        width, height = size
        self.pixels = torch.zeros(capacity, height, width, 3, dtype=torch.uint8, device=DEVICE)
        self.labels = torch.full((capacity, len(LABELS)), -1, dtype=torch.long, device=DEVICE)
        self.tokens = torch.zeros(capacity, CAPTIONS, MAX_TOKENS, dtype=torch.int16, device=DEVICE)
        self.lengths = torch.zeros(capacity, CAPTIONS, dtype=torch.int16, device=DEVICE)
        self.count = 0
        self.counter = torch.zeros((), device=DEVICE)
        self.encoded = 0

    def add(self, chunk: Chunk) -> None:
        count = min(len(chunk.pictures), len(self.pixels) - self.count)
        rows = slice(self.count, self.count + count)
        self.pixels[rows] = torch.from_numpy(chunk.pictures[:count]).to(DEVICE)
        self.labels[rows] = torch.from_numpy(chunk.labels[:count]).to(DEVICE).long()
        self.tokens[rows] = torch.from_numpy(chunk.tokens[:count]).to(DEVICE)
        self.lengths[rows] = torch.from_numpy(chunk.lengths[:count]).to(DEVICE)
        self.count += count
        self.counter.fill_(float(self.count))


def as_image(pixels: Tensor) -> Tensor:
    """[n, H, W, 3] in 0..255 to [n, 3, H, W] in -1..1."""
    return pixels.permute(0, 3, 1, 2).float() / 127.5 - 1


class Library:
    """All training pictures of one process: taken in as they are drawn, encoded once there is an autoencoder."""

    def __init__(self, folder: Path, capacity: int) -> None:
        """`capacity` is the number of square pictures; of each other size there are half as many."""
        self._folder = folder
        self.pictures = [Pictures(size, capacity if size[0] == size[1] else capacity // 2) for size in SIZES]
        self.shelves = [Shelf(SIZES[:1], capacity), Shelf(SIZES[1:], capacity // 2)]
        self._place = [(self.shelves[0], 0), (self.shelves[1], 0), (self.shelves[1], 1)]

    def place_of(self, pictures: Pictures) -> tuple[Shelf, int]:
        """The shelf with the latents of these pictures, and which of its sizes they have."""
        return self._place[self.pictures.index(pictures)]

    def take_in(self, most: int = 3) -> None:
        """Up to `most` chunks that are ready, while there is room."""
        for _ in range(most):
            if all(pictures.count == len(pictures.pixels) for pictures in self.pictures):
                return
            chunk = take_chunk(self._folder)
            if chunk is None:
                return
            self.pictures[chunk.size].add(chunk)

    def wait_for(self, square_pictures: int) -> None:
        while self.pictures[0].count < square_pictures or not all(pictures.count for pictures in self.pictures):
            self.take_in()
            time.sleep(0.01)

    def encode(self, normalization: Normalization, most: int = 512) -> None:
        """Shelve the latents of up to `most` new pictures of each size."""
        for pictures, (shelf, which) in zip(self.pictures, self._place, strict=True):
            end = min(pictures.count, pictures.encoded + most)
            for start in range(pictures.encoded, end, 64):
                rows = slice(start, min(start + 64, end))
                latents = normalization.encode(as_image(pictures.pixels[rows]))
                shelf.add(which, latents, pictures.tokens[rows], pictures.lengths[rows])
            pictures.encoded = end

    def describe(self) -> str:
        return "pictures " + "+".join(str(pictures.count) for pictures in self.pictures)
