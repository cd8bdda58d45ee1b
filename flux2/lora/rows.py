"""Which rows of a model's matrices a module of a LoRA changes, and what size it has to have for that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flux2.architecture.shapes import Shapes
from flux2.lora.names import Place

Matrix = tuple[int, int]
"""Outputs and inputs."""


class Rows(NamedTuple):
    """Where rows of a module go."""

    path: str
    """The model's matrix."""
    first: int
    """The first row there."""
    start: int
    """The first row of the module."""
    length: int
    of: int
    """Rows of the matrix."""


def fits(places: tuple[Place, ...], size: Matrix, shapes: Shapes) -> bool:
    """Whether a model with these tensors has all the places of a module of this size."""
    found = [shapes.get(f"{place.path}.weight") for place in places]
    return all(shape and _module_shape(place, shape) == size for place, shape in zip(places, found, strict=True))


def _module_shape(place: Place, shape: tuple[int, ...]) -> Matrix:
    outputs, inputs = shape
    if place.part:
        _, count = _part(place.part, shape)
        return count, inputs
    return (outputs if place.third is None else 3 * outputs), inputs


def _part(part: str, shape: tuple[int, ...]) -> tuple[int, int]:
    """First row and number of the rows of a single block's first matrix that make q, k, v or the feed-forward."""
    outputs, width = shape
    first = {"q": 0, "k": width, "v": 2 * width, "qkv": 0, "mlp": 3 * width}[part]
    return first, {"qkv": 3 * width, "mlp": outputs - 3 * width}.get(part, width)


def rows_of(place: Place, shapes: Shapes) -> Iterator[Rows]:
    """Where the rows of a module go in one of its places."""
    shape = shapes[f"{place.path}.weight"]
    outputs = shape[0]
    if place.part:
        first, count = _part(place.part, shape)
        yield Rows(place.path, first, 0, count, outputs)
    elif place.halves_swapped:
        half = outputs // 2
        yield Rows(place.path, 0, half, half, outputs)
        yield Rows(place.path, half, 0, half, outputs)
    else:
        yield Rows(place.path, 0, (place.third or 0) * outputs, outputs, outputs)
