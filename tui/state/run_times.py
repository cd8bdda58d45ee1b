"""How long a run will take, from those of its kind that were seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from flux2.architecture.catalog import card_of
from flux2.progress import RunProgress

_SIZE = ("width", "height")
_KIND = ("model", "quantization", "residency", *_SIZE)
_TAIL = ("decode", "save")


@dataclass(frozen=True, slots=True)
class _Pace:
    step: float
    """Seconds, without reference pictures."""
    rest: float
    """Seconds of everything but denoising."""


@dataclass(slots=True)
class RunTimes:
    _paces: dict[tuple[object, ...], _Pace] = field(default_factory=dict)

    def learn(self, request: Mapping[str, object], seconds: float, denoising: float) -> None:
        """Take a finished run in; the latest of a kind counts."""
        steps = request.get("steps")
        if isinstance(steps, int) and steps and 0 < denoising <= seconds:
            self._paces[_kind(request)] = _Pace(denoising / steps / _growth(request), seconds - denoising)

    def estimate(self, request: Mapping[str, object], running: RunProgress | None = None) -> float | None:
        """Seconds that a request will take; None where none of its kind was seen.

        A request that leaves size or steps to its model counts as the last run of that model and quantization. One with
        other reference pictures takes as much more or less time in each step as there is to compute.

        Args:
            running: the run under way, whose steps tell most of those to come where it is of the same kind.
        """
        pace = self._learned(request)
        if running is not None and running.median_step is not None and _like(request, running.request):
            before = sum(seconds for phase, seconds in running.seconds.items() if phase not in ("denoise", *_TAIL))
            step = running.median_step / _growth(running.request)
            pace = _Pace(step, pace.rest if pace else before + running.tail_seconds)
        steps = request.get("steps")
        if steps is None and (card := card_of(request)):
            steps = card.steps
        return pace.rest + pace.step * _growth(request) * steps if pace and isinstance(steps, int) else None

    def _learned(self, request: Mapping[str, object]) -> _Pace | None:
        pace = self._paces.get(_kind(request))
        if pace is None and None in (request.get("width"), request.get("height")):
            same = [pace for kind, pace in self._paces.items() if kind[:3] == _kind(request)[:3]]
            pace = same[-1] if same else None
        return pace


def _like(request: Mapping[str, object], other: Mapping[str, object]) -> bool:
    """Whether two are of one kind; a size that is left to the model is like any."""
    return all(one == two or (one is None and name in _SIZE)
               for name, one, two in zip(_KIND, _kind(request), _kind(other), strict=True))  # fmt: skip


def _growth(request: Mapping[str, object]) -> float:
    """How many times as long a step takes as without its references."""
    if not request.get("references") and not request.get("source"):
        return 1.0
    from flux2.planning.request_growth import request_growth  # with all that is known of models

    return request_growth(request)


def _kind(request: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(request.get(name) for name in _KIND)
