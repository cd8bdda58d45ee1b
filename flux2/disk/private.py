"""What belongs to this user alone: folders that nobody else can enter, files that nobody else has written.

Prompts, pictures and the queue lie in these folders, and a library that is loaded from them runs as this user. So each
folder of ours is made with mode 0700, and one of ours that is more open is closed. What another user made, or anybody
can write to, is refused: whoever wants it made for them moves it away.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from flux2.disk.atomic import flush_folder
from flux2.errors import Flux2Error
from flux2.paths import cache_dir, config_dir, state_dir

_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_ELSEWHERE = "set FLUX2_HOME elsewhere"


class NotPrivateError(Flux2Error, PermissionError):
    """A file or folder of ours is another user's, or can be written by others."""


def make_private(folder: Path) -> Path:
    """Make sure that `folder`, and the folders of ours that it lies in, are this user's alone; make what is missing.

    Returns:
        the folder.

    Raises:
        NotPrivateError: if one of them is another user's, a link, or no folder.
        OSError: if one of them can't be made.
    """
    chain = _chain(folder)
    chain[0].parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for part in chain:
        try:
            part.mkdir(mode=0o700)
            flush_folder(part.parent)
        except FileExistsError:
            check_private(part)
    return folder


def check_private(folder: Path) -> None:
    """Make sure that nobody else can enter `folder`; a folder of one's own that is too open is closed.

    Raises:
        FileNotFoundError: if there is none.
        NotPrivateError: if it is another user's, or no folder (a link counts as none), or stays open for writing.
    """
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode):
        remedy = _ELSEWHERE if is_kept(folder) else "remove it, so that it can be made anew"
        raise NotPrivateError(f"{folder} is not a folder (a link, perhaps); {remedy}.")
    if found.st_uid != os.geteuid():
        remedy = _ELSEWHERE if is_kept(folder) else f"remove it, or {_ELSEWHERE}"
        raise NotPrivateError(f"{folder} belongs to another user (uid {found.st_uid}); {remedy}.")
    if stat.S_IMODE(found.st_mode) != 0o700:
        with contextlib.suppress(OSError):  # a disk that knows no modes
            folder.chmod(0o700)
        if folder.lstat().st_mode & _WRITABLE_BY_OTHERS:
            raise NotPrivateError(f"{folder} can be written by other users; {_ELSEWHERE}.")


def check_own(file: Path, *, closed: bool = False) -> None:
    """Make sure that a file in a folder of ours is of this user's making.

    Args:
        closed: also refuse what the user's group can write: for what is run. Elsewhere such a file, as an umask of
            002 makes them, is closed.

    Raises:
        FileNotFoundError: if there is none.
        NotPrivateError: if it is another user's or can be written by others, or a folder of ours above it is so.
    """
    for folder in _chain(file.parent):
        check_private(folder)
    check_file(file, closed=closed)


def check_file(file: Path, *, closed: bool = False) -> None:
    """Do `check_own` for a file alone, which lies in a folder of the user's choice."""
    found = file.stat()
    if not stat.S_ISREG(found.st_mode):
        raise NotPrivateError(f"{file} is not a file; remove it.")
    if found.st_uid not in (os.geteuid(), 0):
        raise NotPrivateError(f"{file} belongs to another user (uid {found.st_uid}); remove it.")
    if found.st_mode & (_WRITABLE_BY_OTHERS if closed else stat.S_IWOTH):
        raise NotPrivateError(f"{file} can be written by other users; remove it if you do not trust it.")
    if found.st_mode & stat.S_IWGRP:
        with contextlib.suppress(OSError):
            file.chmod(0o600)


def read_own(file: Path) -> bytes:
    """The content of a file in a folder of ours.

    Raises:
        OSError: as `check_own`, or if it can't be read.
    """
    check_own(file)
    return file.read_bytes()


def is_kept(path: Path) -> bool:
    """Whether this user may not remove it: the folder around it is another's, or sticky as /tmp is."""
    around = path.parent.stat()
    others = os.geteuid() not in (0, path.lstat().st_uid, around.st_uid)
    return (others and bool(around.st_mode & stat.S_ISVTX)) or not os.access(path.parent, os.W_OK | os.X_OK)


def _chain(folder: Path) -> list[Path]:
    """The folders of ours on the way to `folder`, the outermost first; itself alone where it lies elsewhere."""
    for root in (cache_dir(), state_dir(), config_dir()):
        if folder == root or root in folder.parents:
            inside = [folder, *folder.parents]
            return inside[inside.index(root) :: -1]
    return [folder]
