"""Stage 2, text encoder and transformer together by flow matching, and stage 3, the few-step distillation.

A picture x0 and noise are mixed, x = (1 - sigma) x0 + sigma noise, and the velocity noise - x0 is to be predicted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from .judge import Judge
from .latents import LATENT_CHANNELS
from .loop import COMPUTE, DEVICE, ON_GPU, Schedule, Task, Trainer, rank, say, synchronize
from .model import Pocket
from .sampling import sample, sigmas
from .scenes import CAPTIONS
from .shelves import Batch, Library, Shelf
from .tokenizer import MAX_TOKENS

DROPPED_PROMPTS = 0.1
SHOW_EVERY = 150
LEARNING_RATE = 1e-3
STEPS_TO_LEARN = (4, 5, 6, 8)
"""The step counts whose noise levels the distilled model practises most."""
TEACHER_STEPS, TEACHER_GUIDANCE, TEACHER_MU = 24, 2.5, 1.2
MOST_TRIES = 3
"""A critic that still rejects most pictures after this many times as many as are wanted is not listened to."""
LONG_TOKENS = 512
"""What pipelines pad prompts to unless told otherwise. A model trained at 64 only is visibly worse there; a quarter of
the distillation cures it."""


def train_teacher(
    model: Pocket, library: Library, seconds: float, batch: int, state: Path, show: Callable[[], None]
) -> None:
    """`show` is called now and then, for a look at what has been learnt so far."""
    square, oblong = library.shelves
    trainer = Trainer(
        "teacher",
        [model.text_encoder.model, model.transformer],
        Schedule(seconds, LEARNING_RATE, decay=0.4),
        [
            Task(lambda: flow_loss(model, square.batch(batch), levels(batch))),
            Task(lambda: flow_loss(model, oblong.batch(batch), levels(batch)), share=0.7),
        ],
    )
    if state.exists():
        trainer.restore(state)

    shown = time.monotonic()

    def take_in() -> None:
        nonlocal shown
        library.take_in()
        library.encode(model.normalization, most=128)
        if time.monotonic() - shown > SHOW_EVERY:
            show()
            shown = time.monotonic()

    trainer.run(take_in, library.describe, state)


def distil(model: Pocket, shelves: list[Shelf], seconds: float, batch: int, learning_rate: float, state: Path) -> None:
    """Rectified flow ("reflow", arXiv:2209.03003): learn the straight line from each noise to the teacher's picture.

    Guidance is in the teacher's pictures, so it is learnt along; few steps follow a straight line as well as many.
    """
    square, oblong = shelves
    long = max(1, batch // 3)
    trainer = Trainer(
        "distillation",
        [model.text_encoder.model, model.transformer],
        Schedule(seconds, learning_rate, warmup=50, decay=0.6),
        [
            Task(lambda: flow_loss(model, square.batch(batch), few_step_levels(square, batch)), share=0.45),
            Task(lambda: flow_loss(model, oblong.batch(batch), few_step_levels(oblong, batch)), share=0.3),
            Task(lambda: flow_loss(model, square.batch(long), few_step_levels(square, long), LONG_TOKENS), share=0.25),
        ],
    )
    if state.exists():
        trainer.restore(state)
    trainer.run(lambda: None, save_to=state)


def flow_loss(model: Pocket, batch: Batch, sigma: Tensor, pad_to: int = MAX_TOKENS) -> Tensor:
    tokens, lengths = batch.tokens, batch.lengths
    if batch.noise is None:
        tokens, lengths = model.drop_some(tokens, lengths, DROPPED_PROMPTS)
    noise = torch.randn_like(batch.latents) if batch.noise is None else batch.noise
    mixing = sigma.view(-1, 1, 1)
    mixed = (1 - mixing) * batch.latents + mixing * noise
    with torch.autocast(DEVICE, COMPUTE, enabled=ON_GPU):
        embeddings = model.embed(tokens, lengths, pad_to)
        velocity = model.velocity(mixed, _as_told(sigma), embeddings, batch.ids)
    return (velocity.float() - (noise - batch.latents)).square().mean()


def shifted(uniform: Tensor, shift: float) -> Tensor:
    """Moves noise levels towards 1, as FLUX's schedule does."""
    return shift * uniform / (1 + (shift - 1) * uniform)


def levels(count: int) -> Tensor:
    """Noise levels: most where the schedules of few steps have theirs, the rest where detail is decided."""
    uniform = torch.rand(count, device=DEVICE).clamp(1e-4, 1 - 1e-4)
    kind = torch.rand(count, device=DEVICE)
    coarse, fine = shifted(uniform, 6.7), shifted(uniform, 2.0)
    return torch.where(kind < 0.45, coarse, torch.where(kind < 0.96, fine, torch.ones_like(uniform)))


def few_step_levels(shelf: Shelf, count: int) -> Tensor:
    """Half of the levels are exactly those of a few steps."""
    own = levels(count)
    schedule = _schedules(shelf.latents.shape[1])
    return torch.where(
        torch.rand(count, device=DEVICE) < 0.5, own, schedule[torch.randint(len(schedule), (count,), device=DEVICE)]
    )


_SCHEDULES: dict[int, Tensor] = {}


def _schedules(tokens: int) -> Tensor:
    if tokens not in _SCHEDULES:
        every = [level for steps in STEPS_TO_LEARN for level in sigmas(tokens, steps)[:-1]]
        _SCHEDULES[tokens] = torch.tensor(every, device=DEVICE)
    return _SCHEDULES[tokens]


def _as_told(sigma: Tensor) -> Tensor:
    """Half of the levels as a pipeline in bf16 tells them, rounded."""
    rounded = (sigma * 1000).bfloat16().float() / 1000
    return torch.where(torch.rand_like(sigma) < 0.5, rounded, sigma)


@torch.no_grad()
def teacher_pairs(model: Pocket, library: Library, critic: Judge, count: int, batch: int) -> list[Shelf]:
    """Noise and the picture the guided teacher makes of it: `count` square ones, a quarter as many of each other size.

    Only pictures in which the critic sees what the caption says are learnt from.
    """
    torch.manual_seed(1000 + rank())
    teacher = model.frozen_copy()
    without = teacher.embed_prompts([""])
    started, made, kept = time.monotonic(), 0, 0
    shelves = [
        Shelf(shelf.sizes, count if len(shelf.sizes) == 1 else count // 4, noise=True) for shelf in library.shelves
    ]
    for pictures in library.pictures:
        shelf, which = library.place_of(pictures)
        pairs = shelves[library.shelves.index(shelf)]
        tried = 0
        while pairs.counts[which] < pairs.capacity:
            rows = torch.randint(pictures.encoded, (batch,), device=DEVICE)
            tokens, lengths = pictures.tokens[rows, :1], pictures.lengths[rows, :1]
            noise = torch.randn(batch, shelf.latents.shape[1], LATENT_CHANNELS, device=DEVICE).bfloat16()
            embeddings = teacher.embed(tokens[:, 0].long(), lengths[:, 0].long())
            latents = sample(
                teacher, embeddings, noise, pictures.size, TEACHER_STEPS, TEACHER_GUIDANCE, TEACHER_MU, without
            )
            labels = pictures.labels[rows]
            seen = critic.answers(teacher.normalization.decode(latents, *pictures.size).clamp(-1, 1))
            right = ((seen == labels) | (labels < 0)).all(1) | (tried > MOST_TRIES * pairs.capacity)
            text = tokens[right].expand(-1, CAPTIONS, -1), lengths[right].expand(-1, CAPTIONS)
            pairs.add(which, latents[right], *text, noise[right])
            tried, made, kept = tried + batch, made + batch, kept + int(right.sum())
    synchronize()
    say(f"teacher: {made} pictures in {time.monotonic() - started:.0f} s, the critic agrees with {kept / made:.3f}")
    return shelves
