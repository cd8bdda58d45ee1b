"""What the program starts with is never looked at again by the garbage collector."""

from __future__ import annotations

import subprocess
import sys

ASK = """
import gc
from contextlib import nullcontext
from types import SimpleNamespace
from tui import __main__, app

class Stub:
    endings = SimpleNamespace(heed_signals=lambda: None)
    def __init__(self, make_backend, options):
        self.make_backend, self.return_code = make_backend, 0
    def run(self, mouse):
        print(gc.isenabled(), gc.get_freeze_count() > 0)
        self.make_backend()
        print(gc.isenabled(), gc.get_freeze_count() > 10_000)

app.Flux2App = Stub
__main__.what_is_missing, __main__.without_echo = lambda: "", nullcontext
"""


def test_collecting_begins_after_the_first_frame_with_what_comes_then() -> None:
    ask = ASK + "__main__._start_worker_early = lambda path: None\n__main__.main([])\n"
    result = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False", "True", "True"]
