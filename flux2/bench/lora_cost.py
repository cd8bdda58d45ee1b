"""What a LoRA on every matrix of the blocks costs a step, as a ratio within one run of this program.

    python -m flux2.bench.lora_cost --model klein-4b --rank 16 --width 1024 --height 1024

Steps without and with it take turns in one process, on weights of zeros of the real size; the fastest of each counts.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from flux2 import Flux2Pipeline
from flux2 import events as ev
from flux2.architecture.catalog import MODELS
from flux2.architecture.transformer import transformer_shapes
from flux2.bench.synthetic import write_synthetic
from flux2.errors import Flux2Error
from flux2.humanize import seconds, size
from flux2.inputs.checks import QUANTIZATIONS
from flux2.store.configs import find_networks

_TURNS = 3
"""Runs of either kind, by turns."""
_STEPS = 2


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m flux2.bench.lora_cost", description="What a LoRA costs a step.")
    parser.add_argument("--model", choices=[name for name in MODELS if name != "pocket"], default="klein-4b")
    parser.add_argument("--divisor", type=int, default=1, help="makes the model so many times smaller")
    parser.add_argument("--transformer-quant", choices=QUANTIZATIONS, default="bf16")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--height", type=int, default=1024)
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            print(_measured(args, Path(folder)))
    except Flux2Error as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _measured(args: argparse.Namespace, folder: Path) -> str:
    source = write_synthetic(args.model, folder / "model", args.divisor)
    lora, matrices = _write_lora(source, folder / "lora.safetensors", args.rank)
    pipe = Flux2Pipeline.from_pretrained(source, quantization=args.transformer_quant)
    pipe.load_lora_weights(lora)
    without, with_it = (
        min(taken)
        for taken in zip(*((_step(pipe, args, 0.0), _step(pipe, args, 1.0)) for _ in range(_TURNS)), strict=True)
    )
    return (
        f"{args.model} / {args.divisor} {args.transformer_quant} at {args.width}×{args.height}: a step takes "
        f"{seconds(without)} without and {seconds(with_it)} with a LoRA of rank {args.rank} on {matrices} matrices "
        f"({size(lora.stat().st_size)}): × {with_it / without:.3f}."
    )


def _write_lora(source: Path, path: Path, rank: int) -> tuple[Path, int]:
    """A file of random numbers for every matrix of the blocks, and how many these are."""
    random = np.random.default_rng(0)
    shapes = transformer_shapes(find_networks(str(source)).transformer)
    matrices = {
        name.removesuffix(".weight"): shape for name, shape in shapes.items() if "blocks." in name and len(shape) == 2
    }
    tensors = {}
    for name, (outputs, inputs) in matrices.items():
        tensors[f"{name}.lora_A.weight"] = random.standard_normal((rank, inputs), dtype=np.float32).astype(np.float16)
        tensors[f"{name}.lora_B.weight"] = random.standard_normal((outputs, rank), dtype=np.float32).astype(np.float16)
    save_file(tensors, path)
    return path, len(matrices)


def _step(pipe: Flux2Pipeline, args: argparse.Namespace, scale: float) -> float:
    """Seconds of the fastest step of a run; at scale 0 nothing is computed beside the weights."""
    pipe.set_adapters("lora", scale)
    taken: list[float] = []

    def on_event(event: ev.Event) -> None:
        if isinstance(event, ev.StepFinished):
            taken.append(event.seconds)

    pipe("a fox", width=args.width, height=args.height, num_inference_steps=_STEPS, seed=0, on_event=on_event)
    return min(taken)


if __name__ == "__main__":
    sys.exit(main())
