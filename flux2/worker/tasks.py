"""What the socket thread puts before the main thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from threading import Event as Flag

from flux2.worker.journal import Job


@dataclass(frozen=True, slots=True)
class Generate:
    """A task for the main thread: make this picture."""

    job: Job
    state: Path
    """The file in which the run keeps what it could be taken up from."""
    cancelled: Flag = field(default_factory=Flag)


@dataclass(frozen=True, slots=True)
class Unload:
    """A task for the main thread: free the model."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The main thread's last task."""


Task = Generate | Unload | Leave
