"""A large picture as bands of rows: made one after the other, read by windows, let go as soon as they were read."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator

from flux2.architecture import limits
from flux2.backend.mlx import device_type, mx
from flux2.models.evaluation import evaluate_next


class Bands:
    """A picture [batch, height, width, channels], of which only what is still needed is there.

    Whoever computes with it reads windows by `rows` and says with `release` what it will not read again: so the result
    takes the place of its input, band by band, instead of standing beside it.
    """

    def __init__(self, bands: Iterable[mx.array] = ()) -> None:
        self.height = 0
        self._bands: deque[tuple[int, mx.array]] = deque()  # with the number of their first rows
        for band in bands:
            self.append(band)

    def __iter__(self) -> Iterator[mx.array]:
        """The bands that are there."""
        return (band for _, band in self._bands)

    def append(self, band: mx.array) -> None:
        """Compute a band and add it at the bottom."""
        evaluate_next(band, self._bands[-1][1] if self._bands else None)
        self.batch, _, self.width, self.channels = band.shape
        self.dtype = band.dtype
        self._bands.append((self.height, band))
        self.height += band.shape[1]

    def rows(self, first: int, last: int) -> mx.array:
        """Rows `first` to before `last`, where `first` may be above the picture and `last` below it: zeros there."""
        above, below = max(0, -first), max(0, last - self.height)
        parts = [
            band[:, max(0, first - top) : last - top]
            for top, band in self._bands
            if top < last and first < top + band.shape[1]
        ]
        if above:
            parts.insert(0, self._zeros(above))
        if below:
            parts.append(self._zeros(below))
        return parts[0] if len(parts) == 1 else mx.concatenate(parts, axis=1)

    def release(self, row: int) -> None:
        """Let go of the bands that lie above this row."""
        while self._bands and self._bands[0][0] + self._bands[0][1].shape[1] <= row:
            self._bands.popleft()

    def whole(self) -> mx.array:
        """All of it as one array; the bands are let go."""
        picture = self.rows(0, self.height)
        mx.eval(picture)
        self.release(self.height)
        return picture

    def split(self, channels: int) -> Iterator[tuple[int, int]]:
        """First and last row of bands that may take as much as this many channels do."""
        return split_rows(self.height, self.batch * self.width * channels * self.dtype.size)

    def _zeros(self, rows: int) -> mx.array:
        return mx.zeros((self.batch, rows, self.width, self.channels), self.dtype)


def split_rows(height: int, row_bytes: int) -> Iterator[tuple[int, int]]:
    """First and last row of each band; all are of one height if possible, as cuDNN makes a plan for each shape."""
    bands = min(height, math.ceil(height * row_bytes / limits.BAND_BYTES[device_type()]))
    rows = math.ceil(height / bands)
    return ((first, min(first + rows, height)) for first in range(0, height, rows))
