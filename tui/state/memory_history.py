"""One run's memory over time, kept in time buckets that a graph can draw as columns.

Buckets lie on a fixed grid of powers of two, so that a column once drawn doesn't change when later ones come in or when
the scale doubles. Peaks and active memory are reduced by max: a spike is never averaged away.
"""

from __future__ import annotations

from dataclasses import dataclass, field

FINEST = 1 / 64  # seconds; the events of the shortest run are this far apart
CAPACITY = 2048  # buckets; twice the dots of the widest graph


@dataclass(slots=True)
class Bucket:
    index: int
    active: int
    """The most that was active, bytes."""
    peak: int
    """The highest peak reported, bytes."""
    last: int
    """Active memory at the bucket's end, bytes: what holds until the next reading."""

    def add(self, active: int, peak: int, last: int) -> None:
        self.active, self.peak, self.last = max(self.active, active), max(self.peak, peak), last


@dataclass(frozen=True, slots=True)
class Column:
    """What one column of dots shows, bytes."""

    active: int
    peak: int


@dataclass(frozen=True, slots=True)
class Mark:
    """A phase began."""

    time: float
    """Seconds since the run's start."""
    phase: str


@dataclass(slots=True)
class MemoryHistory:
    """The readings of one run; times are seconds since its start, memory is bytes."""

    marks: list[Mark] = field(default_factory=list)
    buckets: list[Bucket] = field(default_factory=list)
    width: float = FINEST
    """Seconds per bucket; doubles whenever the buckets run out."""
    end: float = 0.0
    """Time of the last reading."""
    peak: int = 0

    def add(self, time: float, active: int, peak: int) -> None:
        """Take a reading in; one that comes late goes into the latest bucket."""
        time = max(time, 0.0)
        self.end, self.peak = max(self.end, time), max(self.peak, active, peak)
        index = int(time / self.width)
        if self.buckets and index <= self.buckets[-1].index:
            self.buckets[-1].add(active, peak, active)
            return
        self.buckets.append(Bucket(index, active, peak, active))
        if len(self.buckets) > CAPACITY:
            self.width *= 2
            self.buckets = _merged(self.buckets, 2)

    def mark(self, time: float, phase: str) -> None:
        self.marks.append(Mark(max(time, 0.0), phase))

    def columns(self, start: float, seconds: float) -> list[Column | None]:
        """One entry per `seconds` from `start` to the last reading; None before the first one.

        A column without a reading of its own shows what was last known.
        """
        count = max(0, int((self.end - start) / seconds) + 1)
        columns: list[Column | None] = [None] * count
        held: Bucket | None = None
        filled = -1  # the last column that has an entry
        for bucket in self.buckets:
            column = int((bucket.index * self.width - start) / seconds + 1e-9)
            if column < 0:
                held = bucket
                continue
            column = min(column, count - 1)
            if held is not None:
                for empty in range(filled + 1, column):
                    columns[empty] = Column(held.last, held.peak)
            before = columns[column] if column == filled else None
            columns[column] = Column(
                max(bucket.active, before.active if before else 0), max(bucket.peak, before.peak if before else 0)
            )
            filled, held = column, bucket
        if held is not None:
            for empty in range(filled + 1, count):
                columns[empty] = Column(held.last, held.peak)
        return columns


def _merged(buckets: list[Bucket], factor: int) -> list[Bucket]:
    merged: list[Bucket] = []
    for bucket in buckets:
        index = bucket.index // factor
        if merged and merged[-1].index == index:
            merged[-1].add(bucket.active, bucket.peak, bucket.last)
        else:
            merged.append(Bucket(index, bucket.active, bucket.peak, bucket.last))
    return merged


def column_seconds(elapsed: float, columns: int, finest: float = FINEST) -> float:
    """The smallest power of two seconds, not under `finest`, at which `elapsed` seconds fit into `columns`."""
    seconds = finest
    while elapsed > seconds * (columns - 1):
        seconds *= 2
    return seconds
