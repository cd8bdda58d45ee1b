"""A LoRA's change of a matrix as a branch beside it: y + scale · ΔW·x, whatever the matrix is kept as.

Nothing is added to the weights: those of few bits would lose most of a weak change to rounding, and a file of
`flux2 quantize` stays what it is.
"""

# mlx.nn brings no types:
# mypy: allow-subclassing-any, no-warn-return-any

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from flux2.backend.mlx import mx, nn
from flux2.checkpoint.loading import set_at
from flux2.models.layers import outputs


class Branch(Protocol):
    """A change ΔW [outputs, inputs] of one matrix, at scale 1."""

    def add(self, made: mx.array, x: mx.array, start: int, stop: int, scale: float) -> mx.array:
        """`made` [..., stop − start], plus scale times what the change makes of x in these outputs."""


Branches = Mapping[str, Sequence[tuple[float, Branch]]]
"""What is added to each matrix, by its path: branches with their scales."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """strength · up · down."""

    down: mx.array
    """[rank, inputs]."""
    up: mx.array
    """[outputs, rank]."""
    strength: float

    def add(self, made: mx.array, x: mx.array, start: int, stop: int, scale: float) -> mx.array:
        inner = (x @ self.down.T.astype(x.dtype)) * (scale * self.strength)
        return mx.addmm(made, inner, self.up[start:stop].T.astype(x.dtype))


@dataclass(frozen=True, slots=True)
class Dense:
    """A change that is written out, [outputs, inputs]."""

    change: mx.array
    strength: float

    def add(self, made: mx.array, x: mx.array, start: int, stop: int, scale: float) -> mx.array:
        return mx.addmm(made, x, self.change[start:stop].T.astype(x.dtype), alpha=scale * self.strength)


@dataclass(frozen=True, slots=True)
class Kronecker:
    """strength · (first ⊗ second), of which these outputs are some rows, without ever being written out.

    With x as a matrix X [b, d] the product is first · X · secondᵀ.
    """

    first: mx.array
    """[a, b]."""
    second: tuple[mx.array, ...]
    """[c, d], or factors of it, [c, rank] and [rank, d]."""
    begin: int
    """The first row of the product, a · c, that is an output."""
    strength: float

    def add(self, made: mx.array, x: mx.array, start: int, stop: int, scale: float) -> mx.array:
        start, stop = self.begin + start, self.begin + stop
        height, inputs = self.second[0].shape[0], self.second[-1].shape[1]
        top, bottom = start // height, -(-stop // height)
        first = self.first[top:bottom].astype(x.dtype)
        grid = x.reshape(*x.shape[:-1], -1, inputs)
        if len(self.second) == 2:
            grid = grid @ self.second[1].T.astype(x.dtype)
        last = self.second[0].T.astype(x.dtype)
        grid = _of_rows(first, grid) @ last if _rows_first(first, last) else _of_rows(first, grid @ last)
        flat = grid.reshape(*x.shape[:-1], -1)[..., start - top * height : stop - top * height]
        return made + flat * (scale * self.strength)


def _rows_first(first: mx.array, last: mx.array) -> bool:
    """Whether first · (X) and then · last takes fewer multiplications than the other way round."""
    (a, b), (d, c) = first.shape, last.shape
    return bool(d * a * b + a * d * c < b * d * c + c * a * b)


def _of_rows(first: mx.array, grid: mx.array) -> mx.array:
    """first [a, b] · grid [..., b, n], as one multiplication."""
    return (grid.swapaxes(-1, -2) @ first.T).swapaxes(-1, -2)


@dataclass(frozen=True, slots=True)
class InParts:
    """Changes of some outputs each, [first, behind the last); the others are left alone."""

    parts: tuple[tuple[int, int, Branch], ...]
    """In order."""

    def add(self, made: mx.array, x: mx.array, start: int, stop: int, scale: float) -> mx.array:
        pieces, done = [], start
        for first, end, branch in self.parts:
            low, high = max(first, start), min(end, stop)
            if low < high:
                pieces.append(made[..., done - start : low - start])
                piece = made[..., low - start : high - start]
                pieces.append(branch.add(piece, x, low - first, high - first, scale))
                done = high
        return mx.concatenate([*pieces, made[..., done - start :]], axis=-1)


class Adapted(nn.Module):
    """A Linear without bias, quantized or not, with branches beside it."""

    def __init__(self, base: nn.Module, branches: Sequence[tuple[float, Branch]], size: int) -> None:
        super().__init__()
        self.base = base
        self._branches = tuple(branches)
        self._size = size

    def __call__(self, x: mx.array) -> mx.array:
        return self.outputs(x, slice(None))

    def outputs(self, x: mx.array, some: slice) -> mx.array:
        """Some of its outputs, as if the others were not there."""
        start, stop, _ = some.indices(self._size)
        made = outputs(self.base, x, start, stop) if (start, stop) != (0, self._size) else self.base(x)
        for scale, branch in self._branches:
            made = branch.add(made, x, start, stop, scale)
        return made


@contextmanager
def applied(network: nn.Module, branches: Branches) -> Iterator[None]:
    """Within it the network computes with these branches; after it, as before."""
    bases = {path: find_at(network, path) for path in branches}
    try:
        for path, base in bases.items():
            set_at(network, path, Adapted(base, branches[path], base.weight.shape[0]))
        yield
    finally:
        for path, base in bases.items():
            set_at(network, path, base)


def find_at(network: nn.Module, path: str) -> Any:
    """Layer of a network by its path."""
    node: Any = network
    for key in path.split("."):
        node = node[int(key)] if isinstance(node, list) else node[key]
    return node
