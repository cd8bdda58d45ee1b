"""How far the run is: its phases, the step within denoising, the pace, and how long still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.cells import chop_cells
from textual.content import Content
from textual.widget import Widget

from flux2.events import DownloadProgress
from flux2.humanize import clock, gigabytes, printable, seconds
from flux2.progress import CANCELLED, FAILED, FINISHED, RunProgress
from tui.lines.model_lines import pace
from tui.lines.phase_lines import Line, PhaseLines
from tui.lines.text import ellipsis, room, wrapped
from tui.program import Program
from tui.state.session import Session, Topic
from tui.terminal.glyphs import Glyphs
from tui.widgets.pane import Pane


class ProgressBody(Widget):
    """The lines under the heading; how many there are depends on the room."""

    app: Program

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__()
        self.glyphs = glyphs
        self.session = Session()

    def render(self) -> Content:
        lines = list(self._lines())[: max(1, self.size.height)]
        return Content("\n").join(Content.assemble(*line) for line in lines)

    def _lines(self) -> Iterator[Line]:
        run, trouble = self.session.run, self.session.trouble
        if (download := self.session.fetching) and not trouble:
            yield from self._fetching(download)
            return
        if run is None:
            yield from self._wrapped(trouble, "$error") if trouble else self._welcome()
            return
        broken = trouble or run.state == FAILED
        phases = PhaseLines(run, lost=bool(trouble), glyphs=self.glyphs, now=self.session.now)
        if self.size.height >= 9:
            yield from phases.table()
            yield []
        elif not broken or self.size.height > 2:  # a sentence is worth more than the phases where both don't fit
            yield phases.row(self.size.width)
        if trouble:
            yield from self._wrapped(trouble, "$error")
        elif run.state == FAILED:
            yield from self._wrapped(run.error, "$error")
        elif run.state == FINISHED:
            yield self._bar(1.0, "$success", "done", words=len("done"))
            yield from self._finished(run)
        elif run.state == CANCELLED:
            yield [("Cancelled after ", "$muted"), (clock(run.elapsed(self.session.now)), "$foreground")]
        else:
            yield self._running_bar(run)
            yield self._pace(run)
            yield from self._step_strip(run)

    def _welcome(self) -> Iterator[Line]:
        if self.session.worker is None:
            yield [("Starting the worker…", "$muted")]
            return
        run = self.app.keys_of("run").split(",")[0]
        yield [("Type a prompt and press ", "$muted"), (run, "$accent"), (" to make the picture.", "$muted")]
        yield [
            ("Or press ", "$muted"),
            ("→", "$accent"),
            (" in the empty field for the example, then ", "$muted"),
            (run, "$accent"),
            (".", "$muted"),
        ]
        yield [("The worker keeps going when this screen closes or the line drops.", "$muted")]

    def _fetching(self, download: DownloadProgress) -> Iterator[Line]:
        """The run's model is on its way."""
        fraction = download.done / download.total if download.total else 0.0
        words = pace(download) if download.state == "downloading" else download.state
        yield self._bar(fraction, "$accent", words or download.state)
        amount = f" {gigabytes(download.done)} of {gigabytes(download.total)} GB" if download.total else ""
        line: Line = [("Downloading ", "$muted"), (printable(download.model), "$foreground"), (amount, "$muted")]
        yield [*line, (f"   {self.app.keys_of('models')}", "$accent"), (" models", "$muted")]
        if download.message:
            yield from self._wrapped(printable(download.message), "$warning")

    def _running_bar(self, run: RunProgress) -> Line:
        if run.phase == "denoise":
            step = min(run.step + 1, run.steps)
            taken = run.last_step if self.size.height < 3 else None
            pace = f", {seconds(taken)} per step" if taken is not None else ""
            label = f"step {step} of {run.steps}{pace}"
            return self._bar(run.step / run.steps if run.steps else 0.0, "$accent", label)
        if run.phase_total:
            label = f"{run.phase_done} of {run.phase_total} {run.phase_unit}"
            return self._bar(run.phase_done / run.phase_total, "$accent", label)
        return self._bar(0.0, "$accent", run.phase or "…")

    def _bar(self, fraction: float, style: str, label: str, words: int = 0) -> Line:
        """A label keeps its room while it changes, so that the bar doesn't jump."""
        words = words or (20 if len(label) <= 20 else 34)
        width = room(self.size.width, words, 2, least=8)
        cells = int(fraction * width * 2)
        full, half = cells // 2, cells % 2
        glyphs = self.glyphs
        rest = room(width, full, half, least=0)
        return [
            (glyphs.bar_full * full + glyphs.bar_half * half, style),
            (glyphs.bar_empty * rest, "$rule"),
            (f"  {ellipsis(label, words):>{words}}", "$foreground"),
        ]

    def _pace(self, run: RunProgress) -> Line:
        line: Line = []
        median, last = run.median_step, run.last_step
        if median is not None and last is not None:
            line += [(seconds(last), "$foreground"), (" per step", "$muted")]
            line += [("   median ", "$muted"), (seconds(median), "$foreground")]
        if run.phase == "denoise" and run.step:
            line += [("   noise ", "$muted"), (f"{run.sigma:.2f}", "$foreground")]
        if run.warnings:
            line += [("   " if line else "", ""), (ellipsis(run.warnings[-1], self.size.width), "$warning")]
        return line

    def _step_strip(self, run: RunProgress) -> Iterator[Line]:
        """One small bar per step, as high as the step was slow."""
        if len(run.step_seconds) < 2:
            return
        label = f"  steps took {seconds(min(run.step_seconds))} to {seconds(max(run.step_seconds))}"
        latest = run.step_seconds[-room(self.size.width, len(label)) :]
        lowest, slowest, levels = min(latest) * 0.75, max(latest), self.glyphs.levels
        unit = (slowest - lowest) / len(levels) or 1.0
        bars = "".join(levels[min(len(levels) - 1, int((seconds - lowest) / unit))] for seconds in latest)
        yield [(bars, "$graph-active"), (label, "$muted")]

    def _finished(self, run: RunProgress) -> Iterator[Line]:
        path, width = Path(run.path), self.size.width
        yield [("Saved ", "$muted"), (ellipsis(path.name, room(width, 6)), "$foreground")]
        line: Line = [("seed ", "$muted"), (str(run.seed), "$foreground")]
        line += [("   peak ", "$muted"), (f"{gigabytes(run.peak)} GB", "$graph-peak")]
        left = room(width, *(len(text) for text, _ in line), 6)
        yield [*line, ("   in ", "$muted"), (ellipsis(str(path.parent), left), "$foreground")]

    def _wrapped(self, text: str, style: str) -> Iterator[Line]:
        """Broken where one reads on; anywhere, where only that has room for all of it."""
        width = max(10, self.size.width)
        lines = list(wrapped(text, width))
        if len(lines) > self.size.height:
            lines = chop_cells(printable(" ".join(text.split())), width)
        yield from ([(line, style)] for line in lines)


class ProgressPane(Pane, can_focus=True):
    """Ticks once a second while a run is on, for elapsed time and ETA only."""

    TITLE = "Progress"
    HELP = "The phases of the run, its steps and their times, and how long it will still take."
    TOPICS = Topic.RUN | Topic.WORKER

    def __init__(self, glyphs: Glyphs) -> None:
        self.body = ProgressBody(glyphs)
        super().__init__(self.body, id="progress")

    def show(self, session: Session) -> None:
        self.body.session = session
        self.body.refresh()
        self.tick(session)

    def tick(self, session: Session) -> None:
        """Bring the times up to date, nothing else."""
        run = session.run
        if run is None or not run.started:
            self.heading.detail = Content("")
            return
        parts: Line = [("elapsed ", "$muted"), (clock(run.elapsed(session.now)), "$foreground")]
        if session.running:
            eta = run.eta(session.now)
            parts += [("   left ", "$muted"), ("—" if eta is None else clock(eta), "$foreground")]
        self.heading.detail = Content.assemble(*parts)
