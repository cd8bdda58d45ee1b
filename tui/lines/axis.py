"""The scales of the memory graph: gigabytes upwards, time to the right."""

from __future__ import annotations

from dataclasses import dataclass

from flux2.humanize import GB, clock

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)
_LIMIT_IN_VIEW = 0.35
"""Share of the limit from which on the peak is shown against it; below, the graph is scaled to the peak."""
_HEADROOM = 1.06
_SMALLEST_VIEW = 0.02 * GB
_TIME_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400)


@dataclass(frozen=True, slots=True)
class Scale:
    """Bytes to rows. Row 0 is the topmost."""

    top: float
    """Bytes at the upper edge."""
    step: float
    """Bytes between two ticks."""
    limit: int
    """The machine's, in bytes; 0 while unknown."""

    def dots(self, count: float, dots: int) -> int:
        """How many of `dots` a number of bytes fills; anything above 0 fills one."""
        return 0 if count <= 0 else max(1, min(dots, round(count / self.top * dots)))

    def row(self, count: float, rows: int) -> int:
        """The row in which that many bytes lie."""
        return rows - 1 - min(rows - 1, int(count / self.top * rows))

    def label(self, row: int, rows: int) -> str:
        """The tick's number in GB where one lies in this row, else ""; 0 is the lowest row's."""
        if row == rows - 1:
            return "0"
        tick = self.step
        while tick <= self.top * 1.0001:
            if self.row(tick, rows) == row:
                return _tick_label(tick, self.step)
            tick += self.step
        return ""

    @property
    def limit_in_view(self) -> bool:
        return 0 < self.limit <= self.top

    def limit_row(self, rows: int) -> int | None:
        """The row of the dashed line; the topmost where the limit lies above the view."""
        if not self.limit:
            return None
        return self.row(self.limit, rows) if self.limit_in_view else 0

    def limit_note(self) -> str:
        gb = self.limit / GB
        return f" limit {gb:.3g} GB" + ("" if self.limit_in_view else " ↑")


def memory_scale(peak: int, limit: int, rows: int) -> Scale:
    """Round ticks, about one per three rows, that change only when the peak outgrows the view."""
    if limit and (peak >= limit * _LIMIT_IN_VIEW or not peak):
        top = max(limit, peak) * _HEADROOM
        return Scale(top, _round_step(top / max(2, rows / 3)), limit)
    top = max(peak, _SMALLEST_VIEW) * 1.15 if peak else GB
    step = _round_step(top / max(2, rows / 3))
    return Scale((int(top / step) + 1) * step, step, limit)


def _round_step(least: float) -> float:
    """The smallest of 1, 2, 2.5, 5 × 10ⁿ bytes that is at least `least`."""
    power = 1.0
    while power * 10 <= least:
        power *= 10
    return next(power * step for step in _STEPS if power * step >= least * 0.999)


def _tick_label(tick: float, step: float) -> str:
    decimals = 0
    while decimals < 3 and abs(step / GB * 10**decimals - round(step / GB * 10**decimals)) > 1e-9:
        decimals += 1
    return f"{tick / GB:.{decimals}f}"


def time_labels(start: float, seconds: float, cells: int) -> str:
    """The time axis as one line: round times since the run's start, under the cells where they lie.

    Args:
        start: time of the first cell, seconds.
        seconds: per cell.
        cells: width of the line.
    """
    step = next((step for step in _TIME_STEPS if step / seconds >= 12), _TIME_STEPS[-1])
    line = [" "] * cells
    tick = -(-start // step) * step
    while True:
        cell = round((tick - start) / seconds)
        name = f"{tick:.1f} s" if step < 1 else clock(tick)
        if cell + len(name) > cells:
            return "".join(line)
        line[cell : cell + len(name)] = name
        tick += step
