"""A measuring program at work: its progress on standard error, and its report in the file after every result.

Measuring at real size takes many minutes: what was measured has to be there when the program is stopped, and one thing
that fails must not end the others.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from flux2.disk.atomic import write_atomically

T = TypeVar("T")


class Recording:
    """One run of a measuring program."""

    def __init__(
        self,
        report: dict[str, Any],
        path: Path | None = None,
        seconds: float | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        Args:
            report: what is measured, changed by the program as it goes on; gets "failed" if something could not be.
            path: the file that it is written to by `save`.
            seconds: after which `is_over`; None is never.
        """
        self.report = report
        self._path = path
        self._seconds = seconds
        self._clock = clock
        self._began = clock()

    def seconds(self) -> float:
        """Since the beginning."""
        return self._clock() - self._began

    def say(self, line: str) -> None:
        """Tell it at once, and when it is."""
        print(f"flux2: {self.seconds():6.1f} s: {line}", file=sys.stderr, flush=True)

    def save(self) -> None:
        """Write the report as it is now, whole or not at all.

        Raises:
            OSError: if it can't be written.
        """
        if self._path:
            write_atomically(self._path, (json.dumps(self.report, indent=1) + "\n").encode())

    def is_over(self) -> bool:
        """Whether the time that was given is up."""
        return self._seconds is not None and self.seconds() >= self._seconds

    def attempt(self, what: str, doing: str, do: Callable[[], T], *, tell: bool = True) -> T | None:
        """Do it, and tell how long it took.

        Where it fails, that is recorded, its memory let go of, and None returned.
        """
        began = self.seconds()
        try:
            result = do()
        except Exception as error:  # whatever other people's code raises: the rest is measured all the same
            reason = str(error) if isinstance(error, UnavailableError) else f"{type(error).__name__}: {error}"
            self.report.setdefault("failed", []).append({"what": what, "doing": doing, "error": reason})
            self.say(f"{what} is left out: {reason}.")
            self.save()
            traceback.clear_frames(error.__traceback__)  # whose variables hold arrays
            gc.collect()
            return None
        if tell:
            self.say(f"{what}: {doing} took {self.seconds() - began:.1f} s")
        return result


class UnavailableError(Exception):
    """Why something can't be measured here: a sentence without its full stop."""
