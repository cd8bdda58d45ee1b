"""What can go wrong, each as one sentence for a person: what, where, and the remedy."""

from __future__ import annotations

from pathlib import Path


class Flux2Error(Exception):
    """Base of every error this project raises on purpose; its text is shown to the user as it is."""


class RequestError(Flux2Error, ValueError):
    """The request can't be carried out as asked: size, steps, quantization, prompt, model name."""


class CheckpointError(Flux2Error):
    """A checkpoint file is missing, truncated, wrong-shaped, of an unknown architecture, or unreadable."""


class LoraError(Flux2Error):
    """A LoRA is damaged, of a kind that can't be applied, or made for another model."""


class PictureNotSavedError(Flux2Error):
    """The picture is finished and can't be written where it was to go; it is here."""

    def __init__(self, message: str, png: bytes, path: Path) -> None:
        super().__init__(message)
        self.png = png
        """The whole file."""
        self.path = path
        """Where it was to go."""


class NumericalError(Flux2Error):
    """NaN or infinity where finite numbers were expected."""


class WorkerError(Flux2Error):
    """The worker process could not be started, reached, or understood."""


class WorkerNotRunning(WorkerError):  # noqa: N818 — the ordinary case before a start
    """Nobody listens at the worker's socket."""


class WorkerInTheWay(WorkerError):  # noqa: N818 — it may be as well as can be
    """A worker of this user listens that this program can't talk to: it has to be ended before another can start."""


class GenerationCancelled(Flux2Error):  # noqa: N818 — the field's usual name for it; it is not a failure
    """The run was cancelled by the user; raised out of the pipeline to unwind it."""
