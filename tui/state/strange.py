"""A worker that is not what this screen would start: of another version, or with another shell's environment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from flux2 import __version__
from flux2.asker import differing

if TYPE_CHECKING:
    from flux2.worker.protocol import WorkerInfo


@dataclass(frozen=True, slots=True)
class Strange:
    """How it differs."""

    short: str
    """Words for the top row."""
    sentence: str
    """What of it matters, without its end: what key replaces it."""


def strange(worker: WorkerInfo) -> Strange | None:
    """How this worker differs from one that would be started here; None where it does not."""
    return _strange(worker.version, tuple(sorted(worker.environment.items())))


@lru_cache(maxsize=4)
def _strange(version: str, environment: tuple[tuple[str, str], ...]) -> Strange | None:
    if version != __version__:
        return Strange(f"worker {version}", f"The worker is version {version}, this screen {__version__}")
    if names := differing(dict(environment)):
        others = " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
        return Strange(f"other {names[0]}", f"The worker was started in a shell with another {others}")
    return None
