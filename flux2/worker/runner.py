"""What the worker's main thread runs: the engine, behind four methods, so that tests can put another in its place."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flux2.architecture.limits import DeviceType
from flux2.errors import WorkerError
from flux2.events import EventHandler, Memory
from flux2.request import GenerationRequest

ENGINE = "flux2.worker.engine:EngineRunner"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What computes."""

    name: str
    """Name for people."""
    memory_limit: int
    """Bytes that should not be exceeded."""
    backend: DeviceType = "gpu"


class Runner(Protocol):
    """Made and used on the main thread, but for `memory`."""

    def prepare(self) -> Device:
        """Get the device ready; called once, after the socket is up."""

    def warm_up(self) -> None:
        """Import what else the first run needs; called after `prepare`."""

    def run(
        self,
        request: GenerationRequest,
        *,
        run: str,
        on_event: EventHandler,
        should_cancel: Callable[[], bool],
        state: Path,
    ) -> None:
        """Make the picture and tell of it by events, `RunStarted` first and `RunFinished` last.

        Args:
            state: a file to keep in what the run could be taken up from; where it is there, the run is taken up.

        Raises:
            PictureNotSavedError: with the picture, where only its saving failed.
            GenerationCancelled: soon after `should_cancel()` has become true.
            Flux2Error: a sentence, where the run can't go on.
        """

    def unload(self) -> None:
        """Let go of what is kept between runs."""

    def count_tokens(self, model: str, prompt: str) -> tuple[int, int] | None:
        """A prompt's tokens and how many the model reads at most, from any thread; None where its files are not here.
        Touches no arrays."""

    @property
    def model(self) -> str:
        """What is kept between runs, for people; "" for nothing."""

    def memory(self) -> Memory | None:
        """A reading of the meter, from any thread; None before `prepare` is through. Touches no arrays."""


def make_runner(name: str) -> Runner:
    """The runner called `module:class`.

    Raises:
        WorkerError: if there is none of that name.
    """
    module, _, cls = name.partition(":")
    try:
        runner: Runner = getattr(importlib.import_module(module), cls)()
    except (ImportError, AttributeError) as error:
        raise WorkerError(f"The runner {name!r} can't be loaded ({error}).") from error
    return runner
