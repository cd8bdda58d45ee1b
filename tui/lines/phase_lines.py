"""What is said of a run's phases: one row with their times, or a table of time and memory against the plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flux2.events import PHASES_OF_TEXT
from flux2.humanize import clock, gigabytes, seconds
from flux2.progress import FAILED, FINISHED, RUNNING, RunProgress
from tui.terminal.glyphs import ASCII, Glyphs

Line = list[tuple[str, str]]
"""Pieces of text, each with its style."""

_COLUMNS = (("time", 9), ("active GB", 11), ("peak GB", 9), ("plan GB", 9), ("off plan", 10))
"""Headings and widths, right-aligned, after the phase's name."""
_NAME = 8
_TOLERATED = 0.05
"""Share by which a peak may lie above its plan: what the planner promises."""


@dataclass(frozen=True, slots=True)
class PhaseLines:
    run: RunProgress
    lost: bool
    """Whether nobody knows how it went on."""
    glyphs: Glyphs
    now: float

    def row(self, width: int) -> Line:
        """All phases in a row, with their times in the longest form that fits."""
        forms = (self._long_times(), self._short_times(), self._bare_times(), self._no_times())
        return next((form for form in forms if sum(len(text) for text, _ in form) <= width), forms[-1])

    def table(self) -> Iterator[Line]:
        headings = "".join(f"{name:>{room}}" for name, room in _COLUMNS)
        yield [(f"  {'phase':<{_NAME}}{headings}", "$muted")]
        for phase in self._phases:
            line: Line = [self._marker(phase), (f"{phase:<{_NAME}}", self._style(phase))]
            cells = zip(self._figures(phase), _COLUMNS, strict=True)
            yield line + [(f"{text:>{room}}", style) for (text, style), (_, room) in cells]

    def _figures(self, phase: str) -> Line:
        """The table's cells: as measured, of a phase under way as measured so far."""
        run, planned = self.run, self.run.planned.get(phase, 0)
        active, peak, taken = run.active.get(phase, 0), run.peaks.get(phase, 0), run.seconds.get(phase)
        styles = ("$foreground", "$graph-active", "$graph-peak")
        if phase == run.phase:
            taken, styles = run.in_phase(self.now), ("$muted",) * 3
            if run.memory:
                active, peak = run.memory.active, run.memory.peak
        plan = (gigabytes(planned) if planned else "", "$muted")
        if taken is None:
            return [("", ""), ("", ""), ("", ""), plan, ("", "")]
        measured = (seconds(taken), gigabytes(active), gigabytes(peak))
        against = _against(peak, planned) if phase in run.peaks else ("", "")
        return [*zip(measured, styles, strict=True), plan, against]

    @property
    def _phases(self) -> tuple[str, ...]:
        return self.run.phases or PHASES_OF_TEXT

    def _long_times(self) -> Line:
        return self._in_row({phase: f" {seconds(taken)}" for phase, taken in self.run.seconds.items()})

    def _short_times(self) -> Line:
        return self._in_row({phase: f" {_short(taken, 's')}" for phase, taken in self.run.seconds.items()})

    def _bare_times(self) -> Line:
        """A phase's time, in seconds, instead of its mark."""
        return self._in_row({phase: f" {_short(taken)}" for phase, taken in self.run.seconds.items()}, marked=False)

    def _no_times(self) -> Line:
        return self._in_row({})

    def _in_row(self, times: dict[str, str], *, marked: bool = True) -> Line:
        line: Line = []
        for phase in self._phases:
            line += [("  ", "")] if line else []
            line += [self._marker(phase)] if marked or phase not in times else []
            line += [(phase, self._style(phase)), (times.get(phase, ""), "$muted")]
        return line

    def _marker(self, phase: str) -> tuple[str, str]:
        run = self.run
        done, running, waiting, broken = "x>.!" if self.glyphs is ASCII else "✓●○✗"
        if phase in run.seconds or run.state == FINISHED:  # one whose picture was saved later has no time of saving
            return f"{done} ", "$success"
        if phase != self._reached:
            return f"{waiting} ", "$muted"
        if self.lost or run.state == FAILED:
            return f"{broken} ", "$error"
        return f"{running} ", "$accent" if run.state == RUNNING else "$muted"

    @property
    def _reached(self) -> str:
        """The phase under way, or the one in which the run broke off."""
        return self.run.phase or next((phase for phase in self.run.phases if phase not in self.run.seconds), "")

    def _style(self, phase: str) -> str:
        run = self.run
        return "bold $foreground" if phase == run.phase else "$foreground" if phase in run.seconds else "$muted"


def _short(taken: float, unit: str = "") -> str:
    """Seconds to two figures, from a minute on as on a clock."""
    return clock(taken) if taken >= 59.5 else f"{taken:.{int(taken < 9.95)}f}{unit}"


def _against(peak: int, planned: int) -> tuple[str, str]:
    """How much a peak is off its plan. What went above it stands out: that is what makes a run fail."""
    if not planned:
        return "", ""
    off = peak / planned - 1
    return f"{round(off * 100):+} %", "$warning" if off >= _TOLERATED else "$muted"
