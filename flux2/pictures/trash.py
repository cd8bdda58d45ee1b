"""Deleting pictures so that they can be brought back: into the system's own trash."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from flux2.errors import Flux2Error


class NoTrashError(Flux2Error):
    """Nothing was moved: this system, or this volume, has no trash that can be used."""


def move_to_trash(path: Path) -> str:
    """Move a file to the trash.

    Returns:
        where it is now, for people.

    Raises:
        NoTrashError: if there is no trash for it.
    """
    from send2trash import send2trash  # here, for it asks the system which trash it has

    try:
        send2trash(path)
    except Exception as error:  # the library's, the system's, and on macOS the bridge's
        reason = str(error) or type(error).__name__
        raise NoTrashError(f"{path.name} can't be moved to a trash here: {reason}.") from error
    if sys.platform == "darwin":
        return "the Trash"
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "Trash" / "files"
    return str(home) if (home / path.name).exists() else "its volume's trash"


def delete(path: Path) -> None:
    """Remove a file for good.

    Raises:
        Flux2Error: if it can't be removed.
    """
    try:
        path.unlink()
    except OSError as error:
        raise Flux2Error(f"{path} can't be deleted: {error.strerror}.") from error
