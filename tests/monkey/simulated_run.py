"""What a run tells, piece by piece, from its beginning to its picture or to where it is cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flux2 import events as ev
from flux2.request import GenerationRequest
from tests.monkey.files import save_picture
from tests.tui.replay import GB, PLANNED, memory, picture_png

_MOST_STEPS = 6
_PREVIEWS = [picture_png(step, 4, 16) for step in range(5)]


@dataclass
class Job:
    id: str
    request: GenerationRequest
    first_step: int = 0
    cancelled: bool = False


def story(job: Job, clock: Callable[[], float], pictures: Path) -> Iterator[list[ev.Event]]:
    """Events that come together, one list at each turn."""
    run, began = job.id, clock()
    steps = min(job.request.steps or 4, _MOST_STEPS)
    request = job.request.to_dict() | {"steps": steps, "seed": job.request.seed or 1}
    yield [
        ev.RunStarted(
            run=run, time=began, request=request, phases=ev.PHASES_OF_TEXT, planned=PLANNED, first_step=job.first_step
        )
    ]
    for phase in ev.PHASES_OF_TEXT:
        started = clock()
        turns: list[list[ev.Event]] = [[ev.PhaseStarted(run=run, time=started, phase=phase, memory=memory(2.0))]]
        if phase == "denoise":
            turns += [_step(run, started, step, steps) for step in range(job.first_step + 1, steps + 1)]
        for events in turns:
            if job.cancelled:
                yield [ev.RunCancelled(run=run, time=clock())]
                return
            yield events
        if phase == "save":
            path = save_picture(pictures / f"{run}.png", request)
        yield [ev.PhaseFinished(run=run, time=clock(), phase=phase, started=started, seconds=1.0, memory=memory(2.0))]
    yield [
        ev.RunFinished(
            run=run,
            time=clock(),
            path=str(path),
            seed=1,
            seconds=clock() - began,
            peaks=dict.fromkeys(ev.PHASES_OF_TEXT, 2 * GB),
            timings={"denoise": 2.0},
        )
    ]


def _step(run: str, at: float, step: int, steps: int) -> list[ev.Event]:
    return [
        ev.MemorySampled(run=run, time=at, phase="denoise", memory=memory(5.0 + step, 8)),
        ev.StepFinished(
            run=run, time=at, step=step, steps=steps, sigma=1 - step / (steps + 1), seconds=1.5, memory=memory(5.0)
        ),
        ev.Preview(run=run, time=at, step=step, steps=steps, width=16, height=16, png=_PREVIEWS[step % 5]),
    ]
