"""A run from request to picture that may be killed after a step, with all that it told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from flux2 import events as ev
from flux2.generate import Generator
from flux2.request import GenerationRequest


class Killed(Exception):  # noqa: N818
    pass


def run(
    request: GenerationRequest, output: Path, state: Path | None = None, *, killed_after: int = 0
) -> tuple[np.ndarray, list[ev.Event]]:
    """The picture, empty of one that was killed; and the events."""
    seen: list[ev.Event] = []

    def on_event(event: ev.Event) -> None:
        seen.append(event)
        if isinstance(event, ev.StepFinished) and killed_after and event.step > killed_after:
            raise Killed

    try:
        finished = Generator().generate(replace(request, output=str(output)), on_event=on_event, state=state)
    except Killed:
        return np.empty(0), seen
    return np.array(Image.open(finished.path)), seen
