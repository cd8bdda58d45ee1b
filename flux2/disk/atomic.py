"""Files that are there whole or not at all, and that outlast a power cut.

A file is written beside the one it is for, flushed to the disk, and given its name; then the folder is flushed,
without which the name may be the old file's after a power cut. Nobody but the user can read it, unless another mode is
asked for.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

PATIENCE = 10.0
"""Seconds that `changing` waits for another process that changes the same file."""


@contextlib.contextmanager
def replacing(path: Path, *, durable: bool = True, mode: int = 0o600) -> Iterator[Path]:
    """A name beside `path` to write a file under, which takes the place of `path` at the end.

    Args:
        durable: False for what is written so often, and is of so little worth, that a power cut may have it.
        mode: of the new file.

    Raises:
        OSError: if it can't be written; what was there before still is, as after whatever the caller raises.
    """
    draft = path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}.part")  # nobody else's, be it of this process
    try:
        yield draft
        draft.chmod(mode)
        if durable:
            _flush(draft)
        draft.replace(path)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    if durable:
        flush_folder(path.parent)


def write_atomically(path: Path, data: bytes, *, durable: bool = True, mode: int = 0o600) -> None:
    """Replace a file's content; see `replacing`."""
    with replacing(path, durable=durable, mode=mode) as draft, _created(draft, mode) as descriptor:
        _write(descriptor, data)


def write_new(names: Iterable[Path], data: bytes, *, mode: int = 0o666) -> Path:
    """Write a file under the first of these names, all in one folder, that is free: never over another one.

    Returns:
        the name it has got.

    Raises:
        OSError: if it can't be written; nothing is left behind then.
    """
    names = iter(names)
    first = next(names)
    draft = first.with_name(f".{first.stem[:40]}.{secrets.token_hex(4)}.part")
    try:
        with _created(draft, mode) as descriptor:
            _write(descriptor, data)
            os.fsync(descriptor)
        path = first if _publish(draft, first) else next(name for name in names if _publish(draft, name))
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
    flush_folder(path.parent)
    return path


@contextlib.contextmanager
def changing(path: Path) -> Iterator[None]:
    """The only process that reads, changes and writes this file now; others wait for it.

    The lock lies beside the file, for the file itself is replaced, and is let go by the kernel if the process dies.

    Raises:
        OSError: if the lock can't be had within `PATIENCE` seconds, or not at all.
    """
    from filelock import FileLock, Timeout  # here, for whatever only reads needs none

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=PATIENCE, mode=0o600)
    try:
        with lock:
            yield
    except Timeout as error:
        raise TimeoutError(errno.ETIMEDOUT, f"another program has been changing {path.name} for long") from error


def flush_folder(folder: Path) -> None:
    """Make a new name in this folder last through a power cut, where the file system can be asked to."""
    with contextlib.suppress(OSError):
        _flush(folder)


def put_aside(path: Path) -> Path:
    """Give a damaged file another name, as far as that can be done: what is in it may be of use to somebody.

    Returns:
        its new path.
    """
    aside = path.with_suffix(f".damaged-{int(time.time())}{path.suffix}")
    with contextlib.suppress(OSError):
        path.replace(aside)
    return aside


@contextlib.contextmanager
def _created(path: Path, mode: int) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _publish(draft: Path, path: Path) -> bool:
    """Give the file its name, unless another file has it."""
    try:
        os.link(draft, path)  # unlike rename, fails where the name is taken
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        # exFAT and some network shares know no hard links: take the name first, then move over it.
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return False
        try:
            draft.replace(path)
        except OSError:
            path.unlink()
            raise
    return True
