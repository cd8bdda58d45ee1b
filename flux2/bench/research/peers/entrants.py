"""Who can take part in a race, by the names that --only knows; the first is what the others are compared with."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import psutil

from flux2 import humanize
from flux2.architecture.levels import LEVELS
from flux2.architecture.shapes import Shapes
from flux2.backend import memory
from flux2.backend.mlx import DTYPES, mx, on_cpu
from flux2.bench.recording import UnavailableError
from flux2.bench.research.peers import diffusers_peer, mflux_peer, ours
from flux2.bench.research.peers.arithmetic import decode_operations, step_operations
from flux2.bench.research.peers.contender import Contender, Work
from flux2.planning.run_facts import FILE_BYTES

_RESERVE = 4 << 30
"""Bytes of a GPU that weights leave to everything else."""


@dataclass(frozen=True, slots=True)
class Entrant:
    """How contenders are made."""

    make: Callable[[Work], list[Contender]]
    number_bytes: float | None
    """Bytes that loading takes for each of the network's numbers; None is what is computed in."""

    def load(self, work: Work, shapes: Shapes) -> list[Contender]:
        """Raises UnavailableError where there is no room for its weights: a GPU that is asked for more may hang."""
        each = DTYPES[work.dtype].size if self.number_bytes is None else self.number_bytes
        needed, left = int(each * sum(map(math.prod, shapes.values()))), _room()
        if needed > left:
            raise UnavailableError(
                f"it needs {humanize.size(needed)} of the {humanize.size(max(0, left))} that are left; race fewer at a "
                "time with --only"
            )
        return self.make(work)


EXACT = "ours-float32"
"""Takes part only where it is asked for, first, so that everybody's distance is that from exact arithmetic."""
STEPS: dict[str, Entrant] = {
    EXACT: Entrant(ours.exact_steps, FILE_BYTES),
    "ours": Entrant(lambda work: [ours.step(work, "bf16")], FILE_BYTES),
    "diffusers": Entrant(lambda work: [diffusers_peer.step(work)], None),
    "mflux": Entrant(lambda work: mflux_peer.steps(work, "bf16"), None),
    **{
        f"ours-{name}": Entrant(lambda work, name=name: [ours.step(work, name)], level.bytes_per_number)  # type: ignore[misc]
        for name, level in LEVELS.items()
        if level.bits
    },
    **{
        f"mflux-{name}": Entrant(lambda work, name=name: mflux_peer.steps(work, name)[:1], None)  # type: ignore[misc]
        for name, level in LEVELS.items()
        if level.bits
    },
}
DECODES: dict[str, Entrant] = {
    "ours": Entrant(lambda work: [ours.decode(work)], FILE_BYTES),
    "diffusers": Entrant(lambda work: [diffusers_peer.decode(work)], None),
    "mflux": Entrant(mflux_peer.decodes, None),
}


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of race."""

    entrants: Mapping[str, Entrant]
    operations: Callable[[Work], float]
    shapes: Callable[[Work], Shapes]


RACES = {
    "step": Part(STEPS, step_operations, lambda work: work.architecture.shapes()["transformer"]),
    "decode": Part(DECODES, decode_operations, lambda work: work.architecture.shapes()["vae"]),
}


def _room() -> int:
    """Bytes that weights may still take."""
    if on_cpu():
        return int(psutil.virtual_memory().available)
    torchs = diffusers_peer.TorchMeter().held() if "torch" in sys.modules else 0
    return memory.memory_limit() - _RESERVE - ours.METER.held() - torchs


def let_go() -> None:
    """Give back what contenders that are gone have freed, so that the next ones have it, whoever's they are."""
    mx.clear_cache()
    if "torch" in sys.modules and not on_cpu():
        sys.modules["torch"].cuda.empty_cache()
