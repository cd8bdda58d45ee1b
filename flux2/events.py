"""Everything that can happen during a run, as dataclasses; also the wire format and the journal's.

The pipeline emits them, the worker adds its own, and whoever watches — the command line, the screen, the journal —
reads the same ones. `to_wire`/`from_wire` turn them into JSON-ready dicts and one optional blob (a preview's PNG).
Times are seconds, memory is bytes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flux2.dataclass_json import read_dataclass

Phase = Literal["encode", "references", "load", "denoise", "decode", "save"]
PHASES: tuple[Phase, ...] = ("encode", "references", "load", "denoise", "decode", "save")
"""In the order of a run; a phase whose result is kept from an earlier run (prompt, pictures, transformer) is left out
of it, and where no pictures were handed in so is that in which they are encoded, "references"."""
PHASES_OF_TEXT: tuple[Phase, ...] = tuple(phase for phase in PHASES if phase != "references")
"""Phases of a run that begins with a prompt alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """One reading of the meter, in bytes."""

    active: int
    """mx.get_active_memory(): held by live arrays."""
    peak: int
    """mx.get_peak_memory(): the most that was active since the phase began."""
    cache: int
    """mx.get_cache_memory(): freed by arrays, kept by the allocator; part of the process's footprint."""
    footprint: int = 0
    """The process's own memory as the system counts it: phys_footprint on macOS, resident set size elsewhere."""
    available: int = 0
    """What the system could still hand out."""
    swap: int = 0
    """Swap used on the machine."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, when, and in which run ("" for what concerns no run)."""

    run: str = ""
    time: float = field(default_factory=time.time)
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    request: dict[str, Any]
    """The GenerationRequest as carried out: every default filled in, the seed chosen."""
    phases: tuple[str, ...]
    """Those that this run will go through, in order."""
    first_step: int = 0
    """Denoising steps that were done before the run was broken off, and are not done again."""
    planned: dict[str, int] = field(default_factory=dict)
    """The peak that each phase is expected to have, bytes; none for a phase that holds nothing of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseStarted(Event):
    phase: str
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseProgress(Event):
    """How far a phase other than denoise has come."""

    phase: str
    done: int
    total: int
    unit: str
    """"layers", "tensors", "bytes", "bands"…"""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseFinished(Event):
    phase: str
    started: float
    """Seconds since the epoch."""
    seconds: float
    memory: Memory
    """Memory at its end; `peak` is the phase's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """One denoising step is done."""

    step: int
    """1 for the first."""
    steps: int
    sigma: float
    """Noise level the step started from, in (0, 1]."""
    seconds: float
    waited: float = 0.0
    """Seconds of them in which a streamed transformer's weights had not come from the disk yet."""
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview(Event):
    """A small picture of the clean-image estimate x0 = x − σ·v after `step`."""

    step: int
    steps: int
    width: int
    height: int
    png: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned(Event):
    """Something the user should know, though the run goes on."""

    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    path: str
    """The PNG."""
    seed: int
    seconds: float
    peaks: dict[str, int]
    """Peak of MLX's active memory by phase, bytes."""
    timings: dict[str, float]
    """Seconds by phase."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFailed(Event):
    message: str
    """One sentence for a person."""
    details: str = ""
    """The traceback, for the log."""
    request: dict[str, Any] = field(default_factory=dict)
    """The GenerationRequest as asked, where the run ended before its RunStarted; {} elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCancelled(Event):
    request: dict[str, Any] = field(default_factory=dict)
    """The request that was cancelled, in RunFailed's form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySampled(Event):
    """A reading of the worker's sampler, four times a second."""

    phase: str
    memory: Memory


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueChanged(Event):
    """The worker's queue, whole: the running request first."""

    items: tuple[dict[str, Any], ...]
    """{"id": …, "state": "running" | "queued", "request": {…}}"""
    held: bool = False
    """Whether those that wait are kept from starting, until somebody lets them go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedChanged(Event):
    """The runs that did not end in a picture on the disk and can be brought to that, whole: the oldest first."""

    items: tuple[dict[str, Any], ...]
    """Runs in the form of `flux2.worker.unfinished.UnfinishedRun.to_dict`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logged(Event):
    level: str
    """"info", "warning" or "error"."""
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadProgress(Event):
    """How far the download of a model has come; a few times a second, and whenever its state changes."""

    model: str
    """Catalog name or Hub repository, as it was asked for."""
    state: str
    """"starting", "downloading", "checking" or "waiting" while it goes on; "paused", "cancelled", "failed", "finished"
    or "deleted" when it is at rest."""
    done: int = 0
    """Bytes that are on this disk."""
    total: int = 0
    """Bytes of all its files; 0 while unknown."""
    bytes_per_second: float = 0.0
    """Over the last seconds; 0 while nothing comes."""
    message: str = ""
    """Why it waits or failed, as a sentence."""

    @property
    def going_on(self) -> bool:
        return self.state in ("starting", "downloading", "checking", "waiting")

    @property
    def seconds_left(self) -> float | None:
        """Seconds left at the present rate; None while nothing honest can be said."""
        if not self.total or not self.bytes_per_second:
            return None
        return max(0, self.total - self.done) / self.bytes_per_second


EventHandler = Callable[[Event], None]

EVENT_TYPES: dict[str, type[Event]] = {
    cls.__name__: cls
    for cls in (
        RunStarted,
        PhaseStarted,
        PhaseProgress,
        PhaseFinished,
        StepFinished,
        Preview,
        Warned,
        RunFinished,
        RunFailed,
        RunCancelled,
        MemorySampled,
        QueueChanged,
        UnfinishedChanged,
        Logged,
        DownloadProgress,
    )
}


_BLOB = "png"
"""The field that is no JSON: it travels beside."""


def to_wire(event: Event) -> tuple[dict[str, Any], bytes]:
    """The event as a JSON-ready dict with its type's name under "event", and its blob (b"" for all but previews)."""
    data = asdict(event)
    blob = data.pop(_BLOB, b"")
    return {"event": type(event).__name__, **data}, blob


def from_wire(data: dict[str, Any], blob: bytes = b"") -> Event:
    """Undo `to_wire`; fields that this version does not know are ignored.

    Raises:
        ValueError: if the type is unknown, or a field is missing or of another type.
    """
    cls = EVENT_TYPES.get(str(data.get("event")))
    if cls is None:
        raise ValueError(f"unknown event {data.get('event')!r:.40}")
    return read_dataclass(cls, data, **({_BLOB: blob} if cls is Preview else {}))
