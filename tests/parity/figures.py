"""Print how far the engine is from every recording: `python tests/parity/figures.py` (needs no PyTorch)."""

from __future__ import annotations

import os
import tempfile

import conftest  # noqa: F401 — full float32, before MLX's first operation
import engine
from compare import psnr, relative_distance, relative_error
from recordings import ALL_RUNS, POCKET_SEQUENCE_LENGTHS, pocket_recording, recording

from flux2.quantization.linear import MODES


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["FLUX2_HOME"] = home  # no embeddings of an earlier run
        print_random_checkpoints()
        print_pocket()


def print_random_checkpoints() -> None:
    print("float32, largest error / root mean square   embeddings   latents   picture")
    for name in ALL_RUNS:
        run = recording(name)
        embeddings = max(relative_error(ours, run[key]) for key, ours in engine.encode(run).items())
        ours = engine.generate(run)
        latents = max(map(relative_error, ours.latents, run["latents"]))
        print(f"{name:44}{embeddings:10.1e}{latents:10.1e}{psnr(ours.image, run['image'], peak=255):7.1f} dB")


def print_pocket() -> None:
    print("pocket, last latents: |difference| / |reference|          latents   picture")
    for length in POCKET_SEQUENCE_LENGTHS:
        run = pocket_recording(length)
        for quantization in MODES:
            ours = engine.generate(run, quantization=quantization)
            latents = relative_distance(ours.latents[-1], run["latents"])
            title = f"{length} text tokens, float32, {quantization}"
            print(f"{title:54}{latents:10.1e}{psnr(ours.image, run['image'], peak=255):7.1f} dB")


if __name__ == "__main__":
    main()
