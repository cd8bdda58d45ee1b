"""Runs that did not end in a picture on the disk: from where each can be brought to that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2 import events as ev
from flux2.errors import RequestError
from flux2.request import GenerationRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfinishedRun:
    """What is offered to the user. Nothing of it happens by itself: a request that kills the process must not loop."""

    run: str
    request: GenerationRequest
    """The request as it was carried out, its seed chosen, where the run had come that far."""
    reason: str
    """Why it broke off, as a sentence."""
    step: int = 0
    """The last one that is on the disk; 0 where the run would begin anew."""
    steps: int = 0
    """Steps of the whole run; 0 where it had not begun."""
    picture: str = ""
    """Where the finished picture was to go, if only its saving failed; "" otherwise."""

    def to_dict(self) -> dict[str, Any]:
        return {
            "id": self.run,
            "request": self.request.to_dict(),
            "reason": self.reason,
            "step": self.step,
            "steps": self.steps,
            "picture": self.picture,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> UnfinishedRun:
        """Undo `to_dict`.

        Raises:
            RequestError: if the request can't be carried out.
            ValueError: if something else is missing or of the wrong type.
        """
        texts = [data.get(name) for name in ("id", "reason", "picture")]
        numbers = [data.get(name) for name in ("step", "steps")]
        if not all(isinstance(text, str) for text in texts) or not all(type(number) is int for number in numbers):
            raise ValueError("a value is missing or of the wrong type")
        if not isinstance(data.get("request"), dict):
            raise ValueError("it has no request")
        return cls(
            run=data["id"],
            request=GenerationRequest.from_kept(data["request"]).validated(),
            reason=data["reason"],
            step=data["step"],
            steps=data["steps"],
            picture=data["picture"],
        )


def unfinished(
    run: str, asked: GenerationRequest, events: tuple[ev.Event, ...], reason: str, step: int
) -> UnfinishedRun:
    """What is left of a run, from what was asked and from what has happened."""
    started = next((event for event in reversed(events) if isinstance(event, ev.RunStarted)), None)
    request = asked
    if started:
        try:
            request = GenerationRequest.from_kept(started.request).validated()
        except RequestError:  # a damaged line
            started = None
    steps = request.steps or 0 if started else 0
    return UnfinishedRun(run=run, request=request, reason=reason, step=step, steps=steps)


def kept_step(state: Path) -> int:
    """The step after which the latents in this file were kept; 0 if there is no such file, or a damaged one."""
    if not state.exists():
        return 0
    from safetensors import SafetensorError, safe_open  # here, for it brings NumPy with it

    try:
        with safe_open(state, framework="np") as file:
            step = (file.metadata() or {}).get("step", "")
    except (SafetensorError, OSError, ValueError):
        return 0
    return int(step) if step.isascii() and step.isdigit() and len(step) < 6 else 0
