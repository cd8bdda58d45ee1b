"""The garbage collector, kept out of the way: a full collection looks at everything that was ever imported.

On a machine whose cores are all taken that held the screen up for 100 to 400 ms, every few seconds.
"""

from __future__ import annotations

import gc


def put_off() -> None:
    """Collect nothing while the program starts: what it makes now, it keeps."""
    gc.disable()


def begin() -> None:
    """Collect from now on, and never look again at what is there already."""
    gc.freeze()
    gc.enable()
