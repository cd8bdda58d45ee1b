"""Train the embedded model from nothing: `python -m flux2.pocket.training.train --out FOLDER`.

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
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from diffusers import AutoencoderKLFlux2
from transformers import AutoTokenizer

from .autoencoder import train_autoencoder
from .captions import plain_caption
from .flow import LONG_TOKENS, TEACHER_GUIDANCE, TEACHER_STEPS, distil, teacher_pairs, train_teacher
from .judge import Judge, train_judge
from .latents import Normalization
from .loop import COMPUTE, DEVICE, ON_GPU, join_others, rank, say
from .model import Pocket
from .rendering import LABELS, Renderers, labels_of
from .sampling import draw_prompts
from .scenes import SIZES, held_out_scenes
from .sheets import as_pictures, save_sheet
from .shelves import Library
from .tokenizer import MAX_TOKENS, train_tokenizer

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

LOOKS = (
    *((steps, SIZES[0], MAX_TOKENS) for steps in (4, 8, 28)),
    *((4, size, LONG_TOKENS) for size in SIZES),
)
"""Steps, size and number of tokens of the pictures that are shown and scored at the end."""


def work(number: int, processes: int, chosen: argparse.Namespace, pictures: Path) -> None:
    """One process's part of the training, with a GPU of its own."""
    join_others(number, processes)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(chosen.first_seed + number)
    library = Library(pictures / str(number), chosen.pictures)

    autoencoder = autoencoder_stage(library, chosen)
    torch.manual_seed(chosen.first_seed + number)
    library.encode(Normalization(autoencoder), most=chosen.pictures)
    say("encoded:", library.describe())
    teacher = teacher_stage(library, autoencoder, chosen)
    student = distillation_stage(library, teacher, chosen)
    if rank() == 0:
        judge_stage(library, student, chosen)
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def autoencoder_stage(library: Library, chosen: argparse.Namespace) -> AutoencoderKLFlux2:
    result = chosen.out / "autoencoder"
    if result.exists():
        autoencoder = AutoencoderKLFlux2.from_pretrained(result).to(DEVICE).eval().requires_grad_(False)
        library.wait_for(chosen.batch)
    else:
        state = chosen.out / "autoencoder.pt"
        autoencoder = train_autoencoder(library, chosen.autoencoder_seconds, chosen.autoencoder_batch, state)
        if rank() == 0:
            save_whole(autoencoder.save_pretrained, result)
    return autoencoder.to(COMPUTE)


def teacher_stage(library: Library, autoencoder: AutoencoderKLFlux2, chosen: argparse.Namespace) -> Pocket:
    result = chosen.out / "teacher"
    if result.exists():
        return Pocket.load(result, compiled=ON_GPU)
    model = Pocket.new(AutoTokenizer.from_pretrained(chosen.out / "tokenizer"), autoencoder)

    def look(path: Path, steps: int) -> None:
        show(model, path, steps, guidance=TEACHER_GUIDANCE)

    so_far = chosen.out / "teacher-so-far.jpg"
    state = chosen.out / "teacher.pt"
    train_teacher(model, library, chosen.teacher_seconds, chosen.batch, state, lambda: look(so_far, 12))
    if rank() == 0:
        save_whole(lambda folder: model.save(folder, distilled=False), result)
    look(chosen.out / "teacher.jpg", TEACHER_STEPS)
    return model


def distillation_stage(library: Library, model: Pocket, chosen: argparse.Namespace) -> Pocket:
    """Each process listens to a critic of its own; none of them is the judge of the result."""
    result = chosen.out / "checkpoint"
    if result.exists():
        return Pocket.load(result)
    critic = train_judge(library, chosen.judge_seconds, seed=100 + rank())
    pairs = teacher_pairs(model, library, critic, chosen.pairs, chosen.batch)
    distil(model, pairs, chosen.distil_seconds, chosen.batch, chosen.distil_rate, chosen.out / "distillation.pt")
    if rank() == 0:
        save_whole(lambda folder: model.save(folder, distilled=True), result)
    return model


def judge_stage(library: Library, model: Pocket, chosen: argparse.Namespace) -> None:
    for steps, size, pad_to in LOOKS:
        width, height = size
        name = f"checkpoint-{steps}-{width}x{height}-{pad_to}.jpg"
        show(model, chosen.out / name, steps, size=size, pad_to=pad_to)
    judge = train_judge(library, chosen.judge_seconds, seed=0)
    judge.save(chosen.out / "judge.safetensors")
    report(model, judge, chosen.out / "report.json", chosen.held_out)


def save_whole(save: Callable[[Path], object], folder: Path) -> None:
    """So that a folder that exists is complete."""
    unfinished = folder.with_name(folder.name + ".part")
    save(unfinished)
    unfinished.replace(folder)


def show(
    model: Pocket,
    path: Path,
    steps: int,
    guidance: float = 1.0,
    size: tuple[int, int] = SIZES[0],
    pad_to: int = MAX_TOKENS,
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
    for steps, size, pad_to in LOOKS:
        images = draw_prompts(frozen, prompts, size, steps, seed=5000, pad_to=pad_to)
        right = (judge.answers(images) == wanted).float().mean(0)
        name = f"{steps} steps, {size[0]}x{size[1]}, {pad_to} tokens"
        scores[name] = {key: round(float(share), 4) for key, share in zip(LABELS, right, strict=True)}
        say(name, scores[name])
    path.write_text(json.dumps(scores, indent=2) + "\n")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m flux2.pocket.training.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    if not (chosen.out / "tokenizer").exists():
        save_whole(train_tokenizer().save_pretrained, chosen.out / "tokenizer")
    tokenizer = AutoTokenizer.from_pretrained(chosen.out / "tokenizer")
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
