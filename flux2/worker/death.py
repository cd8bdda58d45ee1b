"""How a worker ended, in words: from its exit status where it was our child, its last words, the system's own count."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

from flux2.backend.gpu_errors import explain
from flux2.errors import WorkerError

_VMSTAT = Path("/proc/vmstat")
_FATAL = re.compile(r"Fatal Python error: (\w[\w ]*)")
"""What faulthandler writes where the process dies of a signal."""
_FATAL_SIGNALS = {
    "Aborted": signal.SIGABRT,
    "Segmentation fault": signal.SIGSEGV,
    "Bus error": signal.SIGBUS,
    "Floating point exception": signal.SIGFPE,
    "Floating-point exception": signal.SIGFPE,
    "Illegal instruction": signal.SIGILL,
}
LAST_LINES = 3
"""Lines of a dead worker's log that are told with its death."""
_STACK_DUMP = ("  File ", "Stack (most", "Thread 0x", "Current thread", "Extension modules", "  <no Python frame>")
"""How faulthandler's lines begin."""
_SIGNALS_MEAN = {
    signal.SIGABRT: ", as MLX does when the device fails",
    signal.SIGSEGV: ", a memory fault",
    signal.SIGBUS: ", often a file that shrank while it was read, or a full disk",
}


class WorkerLost(WorkerError):  # noqa: N818
    """The connection to the worker has ended, and not because we closed it."""

    def __init__(self, reason: str, last_lines: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.reason = reason
        """A sentence."""
        self.last_lines = tuple(last_lines)
        """The end of its log, oldest first, safe to show."""


class WorkerDied(WorkerLost):
    """It crashed or was killed."""


class WorkerLeft(WorkerLost):
    """It ended in good order."""


def in_words(lost: WorkerLost) -> str:
    """Why the worker is gone and, unless it left in good order, the last it wrote, without an abort's stack dump."""
    if isinstance(lost, WorkerLeft):
        return lost.reason
    lines = [line for line in lost.last_lines if line.strip() and not line.startswith(_STACK_DUMP)][-LAST_LINES:]
    return lost.reason + (" It last said: " + " / ".join(lines) if lines else "")


def out_of_memory_kills() -> int | None:
    """How many processes Linux has killed for want of memory since it was started; None where nobody counts them."""
    try:
        found = re.search(r"^oom_kill (\d+)$", _VMSTAT.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


def end_in_words(code: int | None, log_lines: Sequence[str], kills_before: int | None) -> str:
    """One sentence or two: how the worker ended, and what to do about it where that is known.

    Args:
        code: its exit status; None where it was not our child, and nobody can know it.
        log_lines: the last that it wrote.
        kills_before: `out_of_memory_kills` when we attached to it.
    """
    text = "\n".join(log_lines)
    if code is None and (fatal := _FATAL.search(text)):
        code = -_FATAL_SIGNALS.get(fatal[1].strip(), signal.SIGABRT)
    said = explain(text)
    if said:
        return f"{exit_in_words(code, '') if code is not None else 'it is gone'}. {said.sentence}"
    if code in (None, -signal.SIGKILL):
        return f"{_silent_end(code, kills_before)}."
    return f"{exit_in_words(code)}."


def _silent_end(code: int | None, kills_before: int | None) -> str:
    """Sentence on a process that had no time for a word: it was killed, or ended itself at once."""
    how = "killed by SIGKILL" if code else "it is gone without a word"
    kills = out_of_memory_kills()
    if kills is None or kills_before is None:
        return f"{how}, as the system does when memory runs out; a smaller size, quantization or model needs less"
    if kills > kills_before:
        return f"{how}, by the system, as memory ran out; choose a smaller size, quantization or model"
    return f"{how}, by another program or user; memory had not run out" if code else how


def exit_in_words(code: int, means: str | None = None) -> str:
    """`exit code 1`, or the signal that it died of and what that often means."""
    if code >= 0:
        return f"exit code {code}"
    try:
        number = signal.Signals(-code)
    except ValueError:
        return f"killed by signal {-code}"
    return f"killed by {number.name}{_SIGNALS_MEAN.get(number, '') if means is None else means}"
