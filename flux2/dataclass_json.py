"""A dataclass out of JSON, each field of the type that it is declared with: a file or a socket may hold anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")

_hints: Callable[[Any], dict[str, Any]] = cache(get_type_hints)


def read_dataclass(cls: type[T], data: Mapping[str, Any], **given: Any) -> T:
    """An instance of `cls` from a JSON object; what that holds beyond the fields of this version is ignored.

    A tuple is read from a list, a dataclass from an object (by its own `from_dict`, where it has one), a float from any
    number, and `X | None` from null, too.

    Args:
        given: fields that are not in `data`; taken as they are.

    Raises:
        ValueError: naming the field that is missing or of another type.
    """
    values = dict(given)
    for item in fields(cls):  # type: ignore[arg-type]
        if item.name in given:
            continue
        if item.name in data:
            values[item.name] = read_value(data[item.name], _hints(cls)[item.name], item.name)
        elif item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{item.name} is missing")
    return cls(**values)


def read_value(value: Any, hint: Any, name: str) -> Any:
    """A value out of JSON as the type that it is declared with. Raises ValueError, naming it, if it is of another."""
    if get_origin(hint) is UnionType:
        if value is None and NoneType in get_args(hint):
            return None
        (hint,) = set(get_args(hint)) - {NoneType}
    kind, arguments = get_origin(hint) or hint, get_args(hint)
    if kind is Any:
        return value
    if kind is tuple and type(value) in (list, tuple):  # a tuple of `asdict`, a list of JSON
        return tuple(read_value(item, arguments[0], name) for item in value)
    if kind is dict and type(value) is dict:
        return {key: read_value(item, arguments[1], name) for key, item in value.items()}
    if is_dataclass(kind) and type(value) is dict:
        return kind.from_dict(value) if hasattr(kind, "from_dict") else read_dataclass(kind, value)  # type: ignore[arg-type]
    if kind is float and type(value) is int:
        return _as_float(value, name)
    if type(value) is not kind:
        raise ValueError(f"{name} is {value!r:.40}, not {kind.__name__}")
    return value


def _as_float(value: int, name: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError(f"{name} is larger than any float") from error
