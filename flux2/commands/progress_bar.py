"""The progress bar of a run: one line on stderr, redrawn four times a second from the run's progress."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn
from rich.text import Text

from flux2.events import DownloadProgress
from flux2.humanize import clock, seconds, size, transfer
from flux2.progress import RunProgress

_WORDS = {
    "encode": "Reading the prompt",
    "references": "Reading the pictures",
    "load": "Loading",
    "denoise": "Denoising",
    "decode": "Decoding",
    "save": "Saving",
}


class ProgressBar:
    """Shows a run's `progress`, or a download's, while entered, on a terminal; where `shown` is false, only what is
    said."""

    def __init__(self, progress: RunProgress | None = None, *, shown: bool, console: Console | None = None) -> None:
        self._progress = progress or RunProgress(run="")
        self._console = console or Console(stderr=True, highlight=False)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            _FactsColumn(self._facts),
            console=self._console,
            refresh_per_second=4,
            transient=True,
            disable=not shown,
        )
        self._download: DownloadProgress | None = None
        self._task = self._bar.add_task("Starting", total=None)

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def update(self) -> None:
        """Take over what the progress has become."""
        if word := _WORDS.get(self._progress.phase):  # between two phases the last one stands
            done, total = amount(self._progress)
            self._download = None
            self._bar.update(self._task, description=word, completed=done, total=total or None)

    def update_download(self, download: DownloadProgress) -> None:
        """Show how far a download is, until the run's next phase begins."""
        self._download = download
        words = f"Downloading {download.model}"
        self._bar.update(self._task, description=words, completed=download.done, total=download.total or None)

    def _facts(self) -> str:
        if download := self._download:
            if download.message:
                return download.message
            return transfer(download.done, download.total, download.bytes_per_second, download.seconds_left)
        return facts(self._progress, time.time())

    def say(self, message: str) -> None:
        """A line of its own, above the bar."""
        self._console.print(message, markup=False, soft_wrap=True)


class _FactsColumn(ProgressColumn):
    def __init__(self, text: Callable[[], str]) -> None:
        super().__init__()
        self._text = text

    def render(self, task: Task) -> Text:  # noqa: ARG002 — there is one task, and its facts are the run's
        return Text(self._text(), no_wrap=True, overflow="ellipsis")


def amount(progress: RunProgress) -> tuple[int, int]:
    """How much of the phase is done, of how much; (0, 0) while nobody knows."""
    if progress.phase == "denoise":
        return progress.step, progress.steps
    return progress.phase_done, progress.phase_total


def facts(progress: RunProgress, now: float) -> str:
    """What stands beside the bar: `2/4 · 0:05 left · 1.23 s/step · 2.04 GiB, peak 3.10 GiB`."""
    done, total = amount(progress)
    eta = progress.eta(now)
    parts = [
        f"{done}/{total}" if total else "",
        f"{clock(eta)} left" if eta is not None else clock(progress.elapsed(now)),
        f"{seconds(progress.median_step)}/step" if progress.median_step else "",
        f"{size(progress.memory.active)}, peak {size(progress.peak)}" if progress.memory else "",
    ]
    return " · ".join(part for part in parts if part)
