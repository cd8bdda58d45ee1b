"""The recorded runs of diffusers + PyTorch, as the tests see them (`record.py` writes them)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

BLOCK_TOKEN_STRIDE = 4  # of the tokens inside the blocks, every fourth is recorded
RECORDINGS = Path(__file__).parent / "recordings"
POCKET = RECORDINGS / "pocket"


@dataclass(frozen=True)
class Recording:
    """One call of diffusers' pipeline: its checkpoint, its arguments, and what it computed."""

    checkpoint: Path
    arguments: dict[str, Any]
    tensors: dict[str, np.ndarray]

    def __getitem__(self, name: str) -> np.ndarray:
        return self.tensors[name]

    def block(self, name: str) -> np.ndarray:
        """A record from inside the first step, the VAE or the position tables."""
        return self.tensors[f"block.{name}"]


@cache
def recording(name: str) -> Recording:
    """The recording called "checkpoint/run"."""
    path = RECORDINGS / name
    arguments = json.loads(path.with_suffix(".json").read_text())["arguments"]
    return Recording(path.parent / "checkpoint", arguments, load_file(path.with_suffix(".safetensors")))


def recorded_schedules() -> list[dict[str, Any]]:
    """{"image_tokens", "steps", "mu", "sigmas"} of many sizes and step counts."""
    rows: list[dict[str, Any]] = json.loads((RECORDINGS / "schedules.json").read_text())["schedules"]
    return rows


ALL_RUNS = sorted(
    path.relative_to(RECORDINGS).with_suffix("").as_posix()
    for path in RECORDINGS.glob("*/*.json")
    if path.parent != POCKET
)
RUNS_WITH_BLOCKS = [name for name in ALL_RUNS if recording(name).arguments["blocks"]]
