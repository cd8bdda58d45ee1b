"""How long a run will take, from those of its kind that were seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

_KIND = ("model", "quantization", "residency", "width", "height")


@dataclass(frozen=True, slots=True)
class _Pace:
    step: float
    """Seconds."""
    rest: float
    """Seconds of everything but denoising."""


@dataclass(slots=True)
class RunTimes:
    _paces: dict[tuple[object, ...], _Pace] = field(default_factory=dict)

    def learn(self, request: Mapping[str, object], seconds: float, denoising: float) -> None:
        """Take a finished run in; the latest of a kind counts."""
        steps = request.get("steps")
        if isinstance(steps, int) and steps and 0 < denoising <= seconds:
            self._paces[_kind(request)] = _Pace(denoising / steps, seconds - denoising)

    def estimate(self, request: Mapping[str, object]) -> float | None:
        """Seconds that a request will take; None where none of its kind was seen.

        A request that leaves size or steps to its model counts as the last run of that model and quantization.
        """
        pace = self._paces.get(_kind(request))
        if pace is None and None in (request.get("width"), request.get("height")):
            same = [pace for kind, pace in self._paces.items() if kind[:3] == _kind(request)[:3]]
            pace = same[-1] if same else None
        steps = request.get("steps")
        return pace.rest + pace.step * steps if pace and isinstance(steps, int) else None


def _kind(request: Mapping[str, object]) -> tuple[object, ...]:
    return tuple(request.get(name) for name in _KIND)
