"""One text of a picture, as it is handed to the readers in turn."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flux2.pictures.foreign.found import FoundSettings

Json = dict[str, Any]


@dataclass(slots=True)
class Candidate:
    """A text that may be a program's settings."""

    name: str
    """Where it stands: see `flux2.pictures.embedded_texts`."""
    text: str
    others: Mapping[str, str] = field(default_factory=dict)
    """All texts of the picture by name, the first of each."""
    path_name: str = ""
    """The file's name: of several pictures that one graph saves, it tells which this is."""
    data: Json = field(init=False)
    """What it holds where it is a JSON object, else empty."""
    problem: str = field(init=False, default="")
    """Why it is no JSON though it begins like it."""

    def __post_init__(self) -> None:
        self.data = {}
        if self.text.lstrip("\ufeff \t\r\n").startswith("{"):
            try:
                self.data = parsed(self.text)
            except ValueError as error:
                self.problem = str(error)


Reader = Callable[[Candidate], FoundSettings | None]
"""Reads a text of its program's; None for any other text.

ValueError, TypeError, LookupError, AttributeError or RecursionError say that it is its program's, and damaged."""


def parsed(text: str) -> Json:
    """The JSON object that a text is.

    Raises:
        ValueError: if it is none, or damaged.
    """
    try:
        data = json.loads(text.strip("\ufeff \t\r\n\0"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(data, dict):
        raise ValueError("no JSON object")
    return data
