"""`flux2` and `python -m flux2`: the command line, whose imports a Ctrl-C ends without a traceback."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """The exit code of `flux2.cli.main`, which is imported here: for a second or two on a machine that is busy."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing has begun that would have to be cleared away
    from flux2.cli import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
