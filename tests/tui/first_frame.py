"""Print how long `flux2-tui` takes to its first frame under a real terminal, with and without a worker to start.

python tests/tui/first_frame.py [runs]
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

import psutil

from flux2.worker import control

BUDGET = 0.8
"""Seconds."""
SIGN = b"Settings"
"""A word that only the dashboard's first frame writes."""


def first_frame(home: Path, columns: int = 120, rows: int = 40) -> tuple[float, float]:
    """Seconds from the start to the first frame, by the clock and of the screen's own computing."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    environment = os.environ | {"FLUX2_HOME": str(home), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    started = time.perf_counter()
    screen = subprocess.Popen(
        [sys.executable, "-m", "tui"],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    seen = b""
    try:
        while SIGN not in seen:
            ready, _, _ = select.select([main], [], [], 20)
            if not ready:
                raise SystemExit(f"no frame after 20 s; the last bytes were {seen[-400:]!r}")
            seen += os.read(main, 65536)
        elapsed = time.perf_counter() - started
        times = psutil.Process(screen.pid).cpu_times()
        return elapsed, times.user + times.system
    finally:
        screen.send_signal(signal.SIGHUP)
        screen.wait()
        os.close(main)


def main() -> int:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory(prefix="f2") as folder:
        home = Path(folder)
        os.environ["FLUX2_HOME"] = folder  # for `control`, too
        first_frame(home)  # warms the file cache
        for what in ("with the worker starting", "with a worker running"):
            measured = []
            for _ in range(runs):
                if what.endswith("starting"):
                    control.stop()
                measured.append(first_frame(home))
            median, computing = (statistics.median(column) for column in zip(*measured, strict=True))
            print(f"first frame {what}: {median:.2f} s, of which computing {computing:.2f} s (median of {runs})")
        control.stop()
    print(f"budget: {BUDGET} s; other programs on the machine stretch the first figure, not the second")
    return 0 if computing <= BUDGET else 1


if __name__ == "__main__":
    sys.exit(main())
