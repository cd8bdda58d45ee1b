"""The recorded runs of diffusers + PyTorch, as the tests see them (`record.py` writes them)."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

from flux2.paths import pocket_checkpoint

BLOCK_TOKEN_STRIDE = 4  # of the tokens inside the blocks, every fourth is recorded
RECORDINGS = Path(__file__).parent / "recordings"
POCKET = RECORDINGS / "pocket"
LORA = RECORDINGS / "lora"
POCKET_SEQUENCE_LENGTHS = (64, 512)  # what it was trained with, and what diffusers pads to


@dataclass(frozen=True)
class Recording:
    """One call of diffusers' pipeline: its checkpoint, its arguments, and what it computed."""

    checkpoint: Path
    arguments: dict[str, Any]
    tensors: dict[str, np.ndarray]
    vae: Path | None = None
    """Folder of another checkpoint's autoencoder, in place of the own one."""
    half_precision: dict[str, float] = field(default_factory=dict)
    """Relative distance of diffusers' own bfloat16 and float16 latents from its float32 ones, where recorded."""

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    def block(self, name: str) -> np.ndarray:
        """A record from inside the first step, the VAE or the position tables."""
        return self.tensors[f"block.{name}"]


@cache
def recording(name: str) -> Recording:
    """The recording called "checkpoint/run"."""
    path = RECORDINGS / name
    description = json.loads(path.with_suffix(".json").read_text())
    arguments = description["arguments"]
    return Recording(
        checkpoint=path.parent / "checkpoint",
        arguments=arguments,
        tensors=load_file(path.with_suffix(".safetensors")),
        vae=RECORDINGS / arguments["vae"] / "checkpoint" / "vae" if arguments["vae"] else None,
        half_precision=description.get("half_precision", {}),
    )


def pocket_recording(sequence_length: int) -> Recording:
    """The embedded model's run with so many text tokens; of its latents, the last ones, in float16.

    Raises:
        ValueError: if it was made from other weights than the package has now.
    """
    description = json.loads((POCKET / "run.json").read_text())
    if description["checkpoint"] != checkpoint_digest(pocket_checkpoint()):
        raise ValueError("The embedded checkpoint has changed; run `python tests/parity/record.py --pocket`.")
    tensors = load_file(POCKET / "run.safetensors")
    with Image.open(POCKET / f"image_{sequence_length}.png") as image:
        kept = {
            "noise": tensors["noise"].astype(np.float32),
            "latents": tensors[f"latents_{sequence_length}"],
            "image": np.asarray(image),
        }
    arguments = description["arguments"] | {"max_sequence_length": sequence_length}
    return Recording(pocket_checkpoint(), arguments, kept)


def checkpoint_digest(folder: Path) -> str:
    """Digest of all of a checkpoint's weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*/*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def recorded_schedules() -> list[dict[str, Any]]:
    """{"image_tokens", "steps", "mu", "sigmas"} of many sizes and step counts."""
    rows: list[dict[str, Any]] = json.loads((RECORDINGS / "schedules.json").read_text())["schedules"]
    return rows


ALL_RUNS = sorted(
    path.relative_to(RECORDINGS).with_suffix("").as_posix()
    for path in RECORDINGS.glob("*/*.json")
    if (path.parent / "checkpoint").is_dir()
)
RUNS_WITH_BLOCKS = [name for name in ALL_RUNS if recording(name).arguments["blocks"]]
