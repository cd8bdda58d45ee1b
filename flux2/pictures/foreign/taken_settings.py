"""The settings of a picture as those of the next one: for the dashboard and the command line alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flux2.pictures.foreign.found import FoundSettings
from flux2.pictures.foreign.reading import read_settings_of
from flux2.pictures.found_again import FoundAgain, find_again
from flux2.request import GenerationRequest
from flux2.request_fields import recipe

_SAID = 6
"""Things left out that are named; the others are counted."""


@dataclass(frozen=True, slots=True)
class TakenSettings:
    """What could be taken over of a picture, and what not."""

    request: GenerationRequest
    found: FoundSettings
    pictures: FoundAgain

    @property
    def is_all(self) -> bool:
        """Whether nothing was left out."""
        return not (self.found.left_out or self.found.not_understood or self.pictures.missing)

    @property
    def left_out(self) -> str:
        """What could not be taken, as sentences, the longest lists cut short; "" for nothing."""
        by_reason: dict[str, list[str]] = {}
        for item in self.found.left_out[:_SAID]:
            by_reason.setdefault(item.why, []).append(item.what)
        said = [f"{', '.join(what)} ({why})" for why, what in by_reason.items()]
        sentences = [
            _listed("Not taken", said, len(self.found.left_out)),
            _listed("Not understood", self.found.not_understood[:_SAID], len(self.found.not_understood)),
            self.pictures.complaint,
        ]
        return " ".join(filter(None, sentences))


def take_settings(path: Path, unsaid: Mapping[str, Any]) -> TakenSettings:
    """The settings of the picture at `path`, whose own pictures are found again where that can be.

    Args:
        unsaid: values of a request for what the picture does not say, among them a prompt.

    Raises:
        Flux2Error: if it is no PNG, JPEG or WebP, or says nothing that is understood.
    """
    found = read_settings_of(path)
    again = find_again(recipe(GenerationRequest.from_dict({**unsaid, **found.values})), path)
    return TakenSettings(again.request, found, again)


def _listed(name: str, things: list[str], count: int) -> str:
    more = f" and {count - _SAID} more" if count > _SAID else ""
    return f"{name}: {', '.join(things)}{more}." if things else ""
