"""What is kept of a run's events so that somebody who comes late sees what the others see."""

from __future__ import annotations

from flux2 import events as ev

MAX_SAMPLES = 1200
"""Memory samples kept of one run: more than a graph has columns; five minutes' worth before thinning begins."""

ENDINGS = (ev.RunFinished, ev.RunFailed, ev.RunCancelled)


class RunHistory:
    """The events of one run that are needed to draw it.

    Of previews and of the progress within a phase only the last is kept; memory samples are thinned out evenly over
    the run's time, keeping the highest of each stretch.
    """

    def __init__(self, run: str) -> None:
        self.run = run
        self._count = 0
        self._lasting: list[tuple[int, ev.Event]] = []
        self._latest: dict[type[ev.Event], tuple[int, ev.Event]] = {}
        self._samples: list[tuple[int, ev.MemorySampled]] = []

    def add(self, event: ev.Event) -> None:
        self._count += 1
        match event:
            case ev.Preview() | ev.PhaseProgress():
                self._latest[type(event)] = (self._count, event)
            case ev.MemorySampled():
                self._samples.append((self._count, event))
                if len(self._samples) >= 2 * MAX_SAMPLES:
                    self._samples = _thinned(self._samples, MAX_SAMPLES)
            case _:
                self._lasting.append((self._count, event))

    def drop_samples(self) -> None:
        """Keep the story only, as of runs that are no longer the newest."""
        self._samples.clear()
        self._latest.clear()

    @property
    def begun(self) -> bool:
        """Whether the engine has said its first word."""
        return bool(self._lasting)

    @property
    def started(self) -> bool:
        """Whether the engine has told what it makes."""
        return any(isinstance(event, ev.RunStarted) for _, event in self._lasting)

    @property
    def ended(self) -> bool:
        return any(isinstance(event, ENDINGS) for _, event in self._lasting)

    @property
    def events(self) -> tuple[ev.Event, ...]:
        """What was kept, in the order in which it happened."""
        kept = [*self._lasting, *self._latest.values(), *self._samples]
        return tuple(event for _, event in sorted(kept, key=lambda entry: entry[0]))


def _thinned(samples: list[tuple[int, ev.MemorySampled]], limit: int) -> list[tuple[int, ev.MemorySampled]]:
    start = samples[0][1].time
    width = (samples[-1][1].time - start) / limit or 1.0
    highest: dict[int, tuple[int, ev.MemorySampled]] = {}
    for entry in samples:
        stretch = int((entry[1].time - start) / width)
        if stretch not in highest or entry[1].memory.active > highest[stretch][1].memory.active:
            highest[stretch] = entry
    return list(highest.values())
