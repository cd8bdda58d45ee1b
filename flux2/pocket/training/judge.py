"""A small classifier that names subject, colour, place and time of a picture; trained on drawn scenes, to measure."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from .loop import DEVICE, Schedule, say
from .rendering import LABELS
from .shelves import Library, as_image

WEIGHTS = Path(__file__).with_name("judge.safetensors")
SHRINK = 4
"""The judge looks at pictures a quarter as wide and high."""
HELD_BACK = 256
"""Square pictures held back for measuring; where there are fewer than four times as many, a quarter."""


class Judge(nn.Module):
    def __init__(self, width: int = 32) -> None:
        super().__init__()

        def stage(inputs: int, outputs: int) -> nn.Sequential:
            return nn.Sequential(
                *(nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()),
                *(nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs), nn.ReLU()),
            )

        self.stages = nn.Sequential(
            stage(3, width), stage(width, 2 * width), stage(2 * width, 3 * width), stage(3 * width, 4 * width)
        )
        self.answer = nn.Linear(8 * width, sum(len(names) for names in LABELS.values()))

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Pictures [n, 3, H, W] in -1..1 of any size to the logits of each attribute of `LABELS`."""
        features = self.stages(F.avg_pool2d(images, SHRINK))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        logits: tuple[Tensor, ...] = self.answer(pooled).split([len(names) for names in LABELS.values()], 1)
        return logits

    @torch.no_grad()
    def answers(self, images: Tensor) -> Tensor:
        """The most likely label of each attribute, [n, 4]."""
        parts = [torch.stack([logits.argmax(1) for logits in self(part)], 1) for part in images.split(64)]
        return torch.cat(parts)

    def save(self, path: Path) -> None:
        save_file(
            {
                name: weight.half() if weight.is_floating_point() else weight
                for name, weight in self.state_dict().items()
            },
            path,
        )

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Judge:
        judge = cls()
        weights = load_file(path)
        judge.load_state_dict(
            {name: weight.float() if weight.is_floating_point() else weight for name, weight in weights.items()}
        )
        judge.eval()
        return judge


def train_judge(library: Library, seconds: float, seed: int, batch: int = 256) -> Judge:
    """Train on the drawn scenes with one subject, under noise and changing brightness, for `seconds`."""
    torch.manual_seed(seed)
    judge: Judge = Judge().to(DEVICE)
    optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=0.02)
    schedule = Schedule(seconds, learning_rate=3e-3, warmup=100, decay=0.7)
    square = library.pictures[0]
    unseen = min(HELD_BACK, square.count // 4)
    drawn = []
    for pictures in library.pictures:
        single = torch.nonzero(pictures.labels[: pictures.count, 0] >= 0)[:, 0]
        drawn.append((pictures, single[single >= unseen] if pictures is square else single))
    started, step = time.monotonic(), 0
    while (progress := (time.monotonic() - started) / seconds) < 1:
        pictures, usable = drawn[step % len(drawn)]
        rows = usable[torch.randint(len(usable), (batch,), device=DEVICE)]
        images = as_image(pictures.pixels[rows])
        images = images + 0.1 * torch.rand(batch, 1, 1, 1, device=DEVICE) * torch.randn_like(images)
        labels = pictures.labels[rows]
        loss = torch.stack(
            [F.cross_entropy(logits, labels[:, i], label_smoothing=0.02) for i, logits in enumerate(judge(images))]
        ).sum()
        for group in optimizer.param_groups:
            group["lr"] = schedule.at(progress, step)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
    judge.eval()
    shown = torch.nonzero(square.labels[:unseen, 0] >= 0)[:, 0]
    right = judge.answers(as_image(square.pixels[shown])) == square.labels[shown]
    shares = ", ".join(f"{name} {float(share):.3f}" for name, share in zip(LABELS, right.float().mean(0), strict=True))
    say(f"judge {seed}: {step} steps; of drawn pictures it has not seen: {shares}")
    return judge
