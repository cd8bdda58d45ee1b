"""`flux2` with an engine that only pretends: the real command line, events and PNG, without networks.

Run as a program it is the command line; `FAKE_STEP_SECONDS` paces it, `FAKE_ERROR` ("Class: sentence") makes it fail,
`FAKE_PART` names a file that it has while it makes a step.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

from PIL import Image

from flux2 import errors
from flux2 import events as ev
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

MIB = 2**20
PEAKS = {"encode": 300 * MIB, "load": 200 * MIB, "denoise": 412 * MIB, "decode": 350 * MIB, "save": 10 * MIB}


def generate(
    request: GenerationRequest,
    on_event: ev.EventHandler,
    should_cancel: Callable[[], bool],
    dtype: str | None = None,
    memory_budget: int | None = None,  # noqa: ARG001 — the real one's
) -> None:
    request = replace(request, width=request.width or 64, height=request.height or 64, steps=request.steps or 4)
    request = replace(request, guidance=1.0 if request.guidance is None else request.guidance)
    steps, started = request.steps or 0, time.time()
    pace = float(os.environ.get("FAKE_STEP_SECONDS", "0"))
    if request.model != "pocket":
        on_event(ev.Logged(run="r", level="info", message=f"Downloading {request.model}."))
    on_event(ev.RunStarted(run="r", request=request.to_dict(), phases=ev.PHASES))
    on_event(ev.Warned(run="r", message=f"computing in {dtype}"))
    if failure := os.environ.get("FAKE_ERROR"):
        kind, _, sentence = failure.partition(": ")
        raise getattr(errors, kind, RuntimeError)(sentence)
    path, timings = Path(request.output or ""), {}
    for phase, peak in PEAKS.items():
        memory = ev.Memory(active=peak // 2, peak=peak, cache=0)
        begun = time.time()
        on_event(ev.PhaseStarted(run="r", phase=phase, memory=memory))
        for step in range(1, steps + 1) if phase == "denoise" else ():
            with _half_done(os.environ.get("FAKE_PART")):
                time.sleep(pace)
            if should_cancel():
                on_event(ev.RunCancelled(run="r"))
                raise errors.GenerationCancelled("The run was cancelled.")
            on_event(ev.StepFinished(run="r", step=step, steps=steps, sigma=1 / step, seconds=pace, memory=memory))
        if phase == "save":
            picture = Image.new("RGB", (request.width or 0, request.height or 0), (200, 90, 30))
            path = save_png(picture, path, ImageMetadata(request=request, timings=timings, peaks=PEAKS))
        timings[phase] = time.time() - begun
        on_event(ev.PhaseFinished(run="r", phase=phase, started=begun, seconds=timings[phase], memory=memory))
    seconds = time.time() - started
    on_event(
        ev.RunFinished(run="r", path=str(path), seed=request.seed or 0, seconds=seconds, peaks=PEAKS, timings=timings)
    )


@contextlib.contextmanager
def _half_done(name: str | None) -> Iterator[None]:
    """A file that is there meanwhile."""
    try:
        if name:
            Path(name).touch()
        yield
    finally:
        if name:
            Path(name).unlink()


def as_module() -> ModuleType:
    """Itself in the shape of `flux2.generate`."""
    module = ModuleType("flux2.generate")
    module.generate = generate  # type: ignore[attr-defined]
    return module


if __name__ == "__main__":
    sys.modules["flux2.generate"] = as_module()
    from flux2.cli import main

    sys.exit(main())
