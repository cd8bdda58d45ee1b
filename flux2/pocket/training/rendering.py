"""Draws training pictures in the background, on as many cores as there are, ready to be copied to the GPU.

Chunk `c` holds the same scenes in every run (the seeds follow from `c`), so the data does not depend on how many
processes draw it.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from transformers import Qwen2TokenizerFast

from .palette import COLOURS, TIMES
from .places import PLACES
from .scenes import CAPTIONS, SIZES, Scene, render
from .subjects import SUBJECTS
from .tokenizer import MAX_TOKENS, tokenize

CHUNK = 64
SIZE_OF_CHUNK = (0, 1, 0, 2)
"""Which of `scenes.SIZES` the chunks have in turn: half are square."""
BACKLOG = 400
"""Chunks that may wait on disk before the drawing pauses."""
LABELS: dict[str, tuple[str, ...]] = {
    "subject": tuple(SUBJECTS),
    "colour": tuple(COLOURS),
    "place": tuple(PLACES),
    "time": tuple(TIMES),
}


@dataclass(frozen=True)
class Chunk:
    """`pictures` [n, H, W, 3] uint8; `tokens` [n, captions, MAX_TOKENS]; `lengths` [n, captions]; `labels` [n, 4],
    numbers into `LABELS`, -1 for a scene with two subjects."""

    size: int
    pictures: NDArray[np.uint8]
    tokens: NDArray[np.int16]
    lengths: NDArray[np.int16]
    labels: NDArray[np.int16]


def labels_of(scene: Scene) -> tuple[int, ...]:
    if len(scene.things) > 1:
        return (-1,) * len(LABELS)
    thing = scene.things[0]
    values = (thing.subject, thing.colour, scene.place, scene.time)
    return tuple(names.index(value) for names, value in zip(LABELS.values(), values, strict=True))


def draw_chunk(index: int, first_seed: int, tokenizer: Qwen2TokenizerFast) -> Chunk:
    size = SIZE_OF_CHUNK[index % len(SIZE_OF_CHUNK)]
    width, height = SIZES[size]
    examples = [render(first_seed + index * CHUNK + i, width, height) for i in range(CHUNK)]
    tokens, lengths = tokenize(tokenizer, [text for example in examples for text in example.captions])
    return Chunk(
        size,
        np.stack([np.asarray(example.picture) for example in examples]),
        tokens.reshape(CHUNK, CAPTIONS, MAX_TOKENS),
        lengths.reshape(CHUNK, CAPTIONS),
        np.array([labels_of(example.scene) for example in examples], np.int16),
    )


class Renderers:
    """`processes` background processes that write chunks below `folder`, each reader's into its own subfolder."""

    def __init__(
        self, folder: Path, tokenizer: Qwen2TokenizerFast, processes: int, readers: int, first_seed: int
    ) -> None:
        self._stop = multiprocessing.get_context("fork").Event()
        for reader in range(readers):
            (folder / str(reader)).mkdir(parents=True, exist_ok=True)
        self._processes = [
            multiprocessing.get_context("fork").Process(
                target=self._draw_every, args=(folder, tokenizer, number, processes, readers, first_seed), daemon=True
            )
            for number in range(processes)
        ]
        for process in self._processes:
            process.start()

    def _draw_every(
        self, folder: Path, tokenizer: Qwen2TokenizerFast, first: int, step: int, readers: int, first_seed: int
    ) -> None:
        os.nice(15)
        index = first
        while not self._stop.is_set():
            target = folder / str(index // len(SIZE_OF_CHUNK) % readers)
            if len(os.listdir(target)) > BACKLOG:  # noqa: PTH208 - counts, does not need paths
                time.sleep(0.2)
                continue
            chunk = draw_chunk(index, first_seed, tokenizer)
            unfinished = target / f"{index:08d}.part"
            with unfinished.open("wb") as file:
                np.savez(file, **vars(chunk))
            unfinished.rename(target / f"{index:08d}.npz")
            index += step

    def stop(self) -> None:
        self._stop.set()
        for process in self._processes:
            process.join(timeout=10)


def take_chunk(folder: Path) -> Chunk | None:
    """The oldest finished chunk of a reader's folder, which is removed; None if there is none."""
    finished = sorted(folder.glob("*.npz"))
    if not finished:
        return None
    with np.load(finished[0], allow_pickle=False) as arrays:
        chunk = Chunk(int(arrays["size"]), *(arrays[key] for key in ("pictures", "tokens", "lengths", "labels")))
    finished[0].unlink()
    return chunk
