"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from pathlib import Path


def write_atomically(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace a file's content wholly or not at all; `durable` also survives a power cut.

    Raises:
        OSError: if it can't be written; what was there before still is.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")  # nobody else's, be it of this process
    try:
        with draft.open("wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            draft.unlink()
        raise


def put_aside(path: Path) -> Path:
    """Give a damaged file another name, as far as that can be done: what is in it may be of use to somebody.

    Returns:
        its new path.
    """
    aside = path.with_suffix(f".damaged-{int(time.time())}{path.suffix}")
    with contextlib.suppress(OSError):
        path.replace(aside)
    return aside
