"""How long copies of attached pictures stay (`flux2.pictures.attachments`), and how much room they may take.

A copy stays as long as a request needs it that waits, runs, is offered to be taken up, or stands on the screen: its
digest is then in one of the small files of the state folder. The others stay for a while longer, for a picture in the
gallery may be taken up again with what was handed in for it: until nobody has used them for `MOST_DAYS`, or they take
more than `MOST_BYTES` together; then those go first that were not used for the longest time.
"""

from __future__ import annotations

import contextlib
import re
import time
from pathlib import Path

from flux2.paths import attachments_dir, state_dir

MOST_DAYS = 90
MOST_BYTES = 2 * 2**30
"""Bytes of all copies together; beyond it are only those that a request needs."""
_JUST_NOW = 3600.0
"""Seconds in which a copy may belong to a request that is not written down yet."""
_DIGEST = re.compile(rb'"([0-9a-f]{64})"')
_SAYS_WHAT_WAS = "request.json"
"""Files of the journal that tell of a run that was made."""
_DAY = 86_400.0


def make_room(new: Path | None = None) -> None:
    """Remove the copies that nothing needs and that are too old, or too many; and what a broken-off writing left.

    Args:
        new: a copy that stays in any case.

    Raises:
        OSError: if it can't be found out what is needed; nothing more is removed then.
    """
    now = time.time()
    copies = []
    for place in attachments_dir().iterdir():
        with contextlib.suppress(OSError):  # another process has removed it
            status = place.stat()
            copies.append((status.st_mtime, status.st_size, place))
    copies.sort()  # those not used for the longest time first
    excess = sum(size for _, size, _ in copies) - MOST_BYTES
    needed: set[str] | None = None
    for used, size, place in copies:
        age = now - used
        draft = place.name.startswith(".")
        if place == new or age < _JUST_NOW or not (draft or excess > 0 or age > MOST_DAYS * _DAY):
            continue
        needed = _named_by_requests() if needed is None else needed
        if place.name not in needed:
            with contextlib.suppress(OSError):
                place.unlink()
                excess -= size


def _named_by_requests() -> set[str]:
    """Digests in the state folder's files: of the queue, of what is offered, of the choices on the screen.

    Raises:
        OSError: if one of them can't be read; what it names is then unknown.
    """
    found: set[str] = set()
    for file in state_dir().rglob("*.json"):
        if file.name != _SAYS_WHAT_WAS:
            with contextlib.suppress(FileNotFoundError):  # it has just been removed
                found.update(digest.decode() for digest in _DIGEST.findall(file.read_bytes()))
    return found
