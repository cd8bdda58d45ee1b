"""Train the embedded model from nothing: `python -m flux2.pocket.train --out FOLDER`.

1. autoencoder   pictures to latents and back
2. teacher       text encoder and transformer together, by flow matching
3. distillation  a few steps without guidance do what the teacher does with many
4. judge         a small classifier that scores the result on captions never trained on

Every stage is timed by the clock, saves its state about once a minute, and goes on from there when started again; a
stage whose result is in FOLDER is not repeated. Scenes are drawn meanwhile on the cores that are free. Uses all GPUs
(or the CPU).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import AutoencoderKLFlux2
from transformers import AutoTokenizer

from .autoencoder import train_autoencoder
from .captions import plain_caption
from .flow import distil, teacher_pairs, train_teacher
from .judge import Judge, train_judge
from .latents import Normalization
from .loop import COMPUTE, DEVICE, join_others, rank, say
from .model import Pocket
from .rendering import LABELS, Renderers, labels_of
from .sampling import draw_prompts
from .scenes import SIZES, held_out_scenes
from .sheets import as_pictures, save_sheet
from .shelves import Library
from .tokenizer import train_tokenizer

PROMPTS = [
    "A fluffy orange tabby cat sitting on a windowsill at sunset",
    "a red fox in the snow",
    "A yellow sailboat on the sea at dawn",
    "a blue house in a meadow at dusk",
    "A teal car in the desert at sunset",
    "a white owl perched in the forest at noon",
    "A purple mushroom on a kitchen table at night",
    "a green hot-air balloon over the city at noon",
    "a black cat in the snow at night",
    "A tall lighthouse by the sea at night",
    "a pink car on a city street at dusk",
    "A brown puppy on the beach on a sunny day, highly detailed",
    "a small grey rabbit on the left in the desert under the stars",
    "a white cat and a green tree in a meadow at dawn",
    "A black dog next to a red mug on a windowsill at noon",
    "a big yellow flower on a kitchen table at sunset",
]


def work(number: int, processes: int, chosen: argparse.Namespace, pictures: Path) -> None:
    """One process's part, with a GPU of its own."""
    join_others(number, processes)
    torch.manual_seed(chosen.first_seed + number)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    out: Path = chosen.out
    library = Library(pictures / str(number), chosen.pictures)

    if (out / "autoencoder").exists():
        autoencoder = AutoencoderKLFlux2.from_pretrained(out / "autoencoder").to(DEVICE).eval().requires_grad_(False)
        library.wait_for(chosen.batch)
    else:
        autoencoder = train_autoencoder(
            library, chosen.autoencoder_seconds, chosen.autoencoder_batch, out / "autoencoder.pt"
        )
        torch.manual_seed(chosen.first_seed + number)
        if rank() == 0:
            autoencoder.save_pretrained(out / "autoencoder")
    autoencoder.to(COMPUTE)
    library.encode(Normalization(autoencoder), most=chosen.pictures)
    say(
        "encoded:",
        library.describe(),
        f"deviation {float(library.shelves[0].latents[: library.pictures[0].encoded].float().std()):.2f}",
    )

    tokenizer = AutoTokenizer.from_pretrained(out / "tokenizer")
    if (out / "teacher").exists():
        model = Pocket.load(out / "teacher", compiled=DEVICE == "cuda")
    else:
        model = Pocket.new(tokenizer, autoencoder)
        train_teacher(
            model,
            library,
            chosen.teacher_seconds,
            chosen.batch,
            out / "teacher.pt",
            lambda: show(model, out / "teacher-so-far.jpg", steps=12, guidance=2.5),
        )
        if rank() == 0:
            model.save(out / "teacher", distilled=False)
    show(model, out / "teacher.jpg", steps=24, guidance=2.5)

    critic = train_judge(library, chosen.judge_seconds, seed=100 + number)
    pairs = teacher_pairs(model, library, critic, chosen.pairs, chosen.batch)
    distil(model, pairs, chosen.distil_seconds, chosen.batch, chosen.distil_rate, out / "distillation.pt")
    if rank() == 0:
        model.save(out / "checkpoint", distilled=True)
        for steps in (4, 8):
            show(model, out / f"checkpoint-{steps}.jpg", steps)
        show(model, out / "checkpoint-8-long.jpg", 8, pad_to=512)
        for width, height in SIZES[1:]:
            show(model, out / f"checkpoint-{width}x{height}.jpg", 8, size=(width, height))
        judge = train_judge(library, chosen.judge_seconds, seed=0)
        judge.save(out / "judge.safetensors")
        report(model, judge, out / "report.json", chosen.held_out)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def show(
    model: Pocket, path: Path, steps: int, guidance: float = 1.0, size: tuple[int, int] = SIZES[0], pad_to: int = 64
) -> None:
    """A sheet of samples, by the first process."""
    if rank() == 0:
        images = draw_prompts(model.frozen_copy(), PROMPTS, size, steps, guidance=guidance, pad_to=pad_to)
        save_sheet(as_pictures(images), PROMPTS, 4 if size[0] > size[1] else 8, path)


def report(model: Pocket, judge: Judge, path: Path, count: int) -> None:
    """Scores on held-out combinations, for several numbers of steps, prompt lengths and sizes."""
    scenes = held_out_scenes(count)
    wanted = torch.tensor([labels_of(scene) for scene in scenes], device=DEVICE)
    prompts = [plain_caption(scene) for scene in scenes]
    frozen = model.frozen_copy()
    scores: dict[str, dict[str, float]] = {}
    for steps, size, pad_to in ((4, 0, 64), (8, 0, 64), (28, 0, 64), (8, 0, 512), (8, 1, 64), (8, 2, 64)):
        images = draw_prompts(frozen, prompts, SIZES[size], steps, seed=5000, pad_to=pad_to)
        right = (judge.answers(images) == wanted).float().mean(0)
        name = f"{steps} steps, {SIZES[size][0]}x{SIZES[size][1]}, {pad_to} tokens"
        scores[name] = {key: round(float(share), 4) for key, share in zip(LABELS, right, strict=True)}
        say(name, scores[name])
    path.write_text(json.dumps(scores, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m flux2.pocket.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for results, states and sample sheets")
    parser.add_argument("--autoencoder-seconds", type=float, default=120)
    parser.add_argument("--teacher-seconds", type=float, default=700)
    parser.add_argument("--distil-seconds", type=float, default=150)
    parser.add_argument("--judge-seconds", type=float, default=15)
    parser.add_argument("--batch", type=int, default=192, help="pictures per step and GPU")
    parser.add_argument("--autoencoder-batch", type=int, default=16)
    parser.add_argument("--pictures", type=int, default=80_000, help="square pictures per GPU; twice as many in all")
    parser.add_argument("--pairs", type=int, default=10_000, help="square pictures of the teacher per GPU")
    parser.add_argument("--held-out", type=int, default=384, help="captions to be scored on")
    parser.add_argument("--distil-rate", type=float, default=4e-4, help="learning rate of the distillation")
    parser.add_argument("--first-seed", type=int, default=1_000_000, help="first scene; another one for other pictures")
    parser.add_argument("--gpus", type=int, default=max(1, torch.cuda.device_count()))
    parser.add_argument("--renderers", type=int, default=max(1, (os.cpu_count() or 2) - 2))
    chosen = parser.parse_args(arguments)

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    chosen.out.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(chosen.out / "tokenizer")
    started = time.monotonic()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.exists() else None) as folder:
        renderers = Renderers(Path(folder), tokenizer, chosen.renderers, chosen.gpus, chosen.first_seed)
        try:
            torch.multiprocessing.spawn(work, (chosen.gpus, chosen, Path(folder)), nprocs=chosen.gpus)
        finally:
            renderers.stop()
    print(f"done in {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
