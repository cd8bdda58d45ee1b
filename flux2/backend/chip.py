"""What depends on the chip: read from MLX's `device_info` in one place, so that no other module asks which chip it is.

Metal reports `device_name`, `architecture`, `memory_size`, `max_recommended_working_set_size` and `max_buffer_length`;
CUDA `device_name` and `total_memory`; the CPU backend a name alone
(https://ml-explore.github.io/mlx/build/html/python/_autosummary/mlx.core.device_info.html).
"""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

MLXBackend = Literal["cpu", "metal", "cuda"]
"""The backends of MLX; limits tell only its CPU from a GPU (`flux2.architecture.limits.DeviceType`)."""

EMULATES_BFLOAT16 = (1, 2)
"""Generations of Apple's chips whose GPUs have no bfloat16 arithmetic: it is done in float32, float16 is not."""

WIRES_MEMORY_SINCE = (15, 0)
"""macOS's version from which MLX can keep arrays in memory that is never paged out (`mx.set_wired_limit`)."""

_APPLE = re.compile(r"Apple M(\d+)( Pro| Max| Ultra)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """What computes."""

    name: str
    """Name for people."""
    backend: MLXBackend
    memory_limit: int
    """Bytes the process should stay below: Metal's recommended working set, the GPU's memory, or the machine's."""
    generation: int = 0
    """Generation of Apple's M chips, 1 for the M1; 0 for all other chips."""

    @property
    def emulates_bfloat16(self) -> bool:
        """Whether float16 may be faster. It is never chosen for that alone, as it overflows where bfloat16 does not:
        `flux2 doctor` measures both and says what came of it."""
        return self.backend == "metal" and self.generation in EMULATES_BFLOAT16

    @property
    def dtype(self) -> str:
        """What to compute in where nobody says otherwise: bfloat16, but float32 on the CPU backend.

        Measured there (2 cores, 512×1024 by 1024×2048): float32 100 GFLOP/s, bfloat16 3.7.
        """
        return "float32" if self.backend == "cpu" else "bfloat16"

    def wired_limit(self, macos: tuple[int, int]) -> int:
        """Bytes of arrays to keep from being paged out during a run; 0 for none. MLX refuses more than `memory_limit`.

        Without it macOS pages out weights that wait for their turn once they near the limit: with 102 of 128 GB a
        language model took 43 times as long (M4 Max, https://github.com/osaurus-ai/vmlx-swift/issues/418).
        """
        return self.memory_limit if self.backend == "metal" and macos >= WIRES_MEMORY_SINCE else 0


def macos_version() -> tuple[int, int]:
    """(0, 0) elsewhere."""
    numbers = [int(part) for part in platform.mac_ver()[0].split(".") if part.isdigit()]
    return (numbers[0], numbers[1] if len(numbers) > 1 else 0) if numbers else (0, 0)


def read_chip(info: Mapping[str, Any], *, on_cpu: bool, physical: int) -> Chip:
    """The chip of a `device_info`.

    Args:
        info: as `mx.device_info()` gives it.
        on_cpu: whether the CPU backend computes.
        physical: bytes of the machine's memory.
    """
    name = str(info.get("device_name") or "unknown device")
    working_set = int(info.get("max_recommended_working_set_size") or 0)
    if on_cpu:
        return Chip(name=name, backend="cpu", memory_limit=physical)
    if working_set:
        apple = _APPLE.search(name)
        generation = int(apple[1]) if apple else 0
        return Chip(name=name, backend="metal", memory_limit=working_set, generation=generation)
    return Chip(name=name, backend="cuda", memory_limit=int(info.get("total_memory") or physical))
