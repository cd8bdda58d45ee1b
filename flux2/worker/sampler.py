"""Four readings of the memory meter a second, from a thread of their own that touches no arrays."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable

from flux2.events import Memory
from flux2.worker import logfile

PERIOD = 0.25  # seconds


class Sampler(threading.Thread):
    """Hands readings on while somebody wants them."""

    def __init__(
        self, read: Callable[[], Memory | None], wanted: Callable[[], bool], hand: Callable[[Memory], None]
    ) -> None:
        super().__init__(name="sampler", daemon=True)
        self._read, self._wanted, self._hand = read, wanted, hand
        self._stopped = threading.Event()

    def run(self) -> None:
        due = time.monotonic()
        complained = False
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            # A reading that came late is not made up for: the next ones keep their distance.
            due = max(due + PERIOD, time.monotonic())
            if not self._wanted():
                continue
            try:
                memory = self._read()
            except Exception:
                if not complained:
                    logfile.write("error", traceback.format_exc())
                complained = True
                continue
            if memory is not None:
                self._hand(memory)

    def stop(self) -> None:
        self._stopped.set()
        self.join(timeout=1.0)
