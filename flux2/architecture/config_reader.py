"""Checked reading of a network's config.json: a nonsense value is refused here, in one sentence, before any work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flux2.errors import CheckpointError

MAX_WIDTH = 1 << 20  # channels, features, vocabulary entries: nothing real comes near it
MAX_LAYERS = 1 << 10

_REQUIRED: Any = object()


class ConfigReader:
    """Typed access to the values of one config.json; unknown keys are ignored.

    Every method raises `CheckpointError`, naming file, key and value, where the value is missing (and has no default),
    of another type, or out of range. A default is given only where diffusers or transformers have the same one.
    """

    def __init__(self, values: Mapping[str, Any], file: str) -> None:
        self._values = values
        self._file = file

    def integer(self, key: str, default: Any = _REQUIRED, *, maximum: int = MAX_WIDTH, multiple_of: int = 1) -> int:
        """A whole number from 1 to `maximum`."""
        return self._integer(key, self._get(key, default), maximum, multiple_of)

    def integers(
        self, key: str, default: Any = _REQUIRED, *, maximum: int = MAX_WIDTH, multiple_of: int = 1
    ) -> tuple[int, ...]:
        """A non-empty list of whole numbers from 1 to `maximum`."""
        value = self._get(key, default)
        if not isinstance(value, list | tuple) or not value:
            raise self.refuse(key, "must be a list of whole numbers")
        return tuple(self._integer(key, item, maximum, multiple_of) for item in value)

    def number(self, key: str, default: Any = _REQUIRED) -> float:
        """A finite number above 0."""
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise self.refuse(key, "must be a number above 0")
        return float(value)

    def flag(self, key: str, default: Any = _REQUIRED) -> bool:
        value = self._get(key, default)
        if not isinstance(value, bool):
            raise self.refuse(key, "must be true or false")
        return value

    def require(self, key: str, value: Any) -> None:
        """Refuse a config that does not say this: it is another architecture's."""
        if self._get(key, _REQUIRED) != value:
            raise self.refuse(key, f"must be {value!r}")

    def support_only(self, key: str, *supported: Any) -> None:
        """Refuse every value of `key` but these; the first of them is the default."""
        if self._get(key, supported[0]) not in supported:
            raise self.refuse(key, f"only {' and '.join(repr(value) for value in supported)} can be computed here")

    def has(self, key: str) -> bool:
        """Whether the key is there and not null."""
        return self._values.get(key) is not None

    def is_null(self, key: str) -> bool:
        """Whether the key is there, and null."""
        return key in self._values and self._values[key] is None

    def section(self, key: str) -> ConfigReader:
        """The reader of a nested object."""
        value = self._get(key, _REQUIRED)
        if not isinstance(value, Mapping):
            raise self.refuse(key, "must be an object")
        return ConfigReader(value, f"{self._file} ({key})")

    def refuse(self, key: str, rule: str) -> CheckpointError:
        """The error that says which rule the value of `key` breaks; the caller raises it."""
        value = f"{self._values[key]!r}" if key in self._values else "missing"
        return CheckpointError(
            f"{self._file}: {key} is {value}, but {rule}; use a FLUX.2 checkpoint in the diffusers layout, "
            "or download this one again."
        )

    def _get(self, key: str, default: Any) -> Any:
        value = self._values.get(key, default)
        if value is _REQUIRED:
            raise self.refuse(key, "this network can't be built without it")
        return value

    def _integer(self, key: str, value: Any, maximum: int, multiple_of: int) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= maximum:
            raise self.refuse(key, f"must be a whole number from 1 to {maximum}")
        if value % multiple_of:
            raise self.refuse(key, f"must be a multiple of {multiple_of}")
        return value


def check_class(file: str | Path, named: Any, known: tuple[str, ...]) -> str:
    """The class that a config names, alone or as the first of a list.

    Raises:
        CheckpointError: naming `file` and the class, where it is none of those known.
    """
    name = named[0] if isinstance(named, list) and named else named
    if isinstance(name, str) and name in known:
        return name
    if name is None:
        raise CheckpointError(
            f"{file} names no architecture; use a FLUX.2 checkpoint in the diffusers layout, or download it again."
        )
    raise CheckpointError(
        f"{file} says {name!r}, an architecture unknown to this program; choose a checkpoint of {', '.join(known)}."
    )
