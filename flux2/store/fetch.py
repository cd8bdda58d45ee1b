"""One file from the Hub: what is here of it is kept and gone on from, and nothing is taken that its digest refuses.

huggingface_hub's own download starts a file over after every interruption, since version 1.18 over HTTP and always over
Xet (https://github.com/huggingface/huggingface_hub/issues/4196): ten gigabytes may be lost to one dropped line. So the
bytes are fetched here, with a Range, over its session with its headers, and put where it looks for them.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import WeakFileLock, build_hf_headers, parse_ratelimit_headers

from flux2 import __version__
from flux2.checkpoint.header import is_whole
from flux2.checkpoint.manifest import HubFile, Manifest
from flux2.errors import CheckpointError
from flux2.humanize import clock

# The base of every HTTP client error; its package is called differently in each major version of huggingface_hub.
HTTPError: Any = HfHubHTTPError.__bases__[0]

PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0, 60.0)
"""Seconds between tries that bring nothing; a network that is gone for three minutes is lived through."""
MAX_PAUSE = 10 * 60.0
"""Seconds that the Hub may ask us to wait."""
TIMEOUT = 30.0
"""Seconds for a connection, and for the next bytes."""

LOCK_SECONDS = 0.5
"""Between two tries of a lock that another process holds."""
ANOTHER = "Another program is downloading it."

_PIECE = 1024 * 1024
_READ_WHOLE = 32 << 20
"""Bytes up to which a file that is here is compared with its digest: all configs and tokenizers."""
_WORTH_A_RETRY = (408, 429, 500, 502, 503, 504)

Result = TypeVar("Result")
OnPause = Callable[[float, str], None]
"""Told of the seconds and the reason before a pause, and of (0, "") after it."""


def fetch(manifest: Manifest, file: HubFile, *, advance: Callable[[int], None], on_pause: OnPause) -> None:
    """Bring the file's blob into the cache.

    Args:
        manifest: that the file is of.
        file: what to fetch.
        advance: told how many bytes more are on the disk; fewer, where some had to be thrown away.
        on_pause: told why nothing comes for a while.

    Raises:
        CheckpointError: if what came twice is not what the Hub says the file is.
        HTTPError: if the Hub refuses, or does not answer for minutes.
        OSError: if the disk is full or can't be written.
    """
    blob, part = manifest.blob(file), manifest.part(file)
    _remove_unsound(manifest, file, advance)
    if manifest.is_named(file):
        return
    blob.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(manifest.lock(file), lambda: on_pause(LOCK_SECONDS, ANOTHER)):
        on_pause(0.0, "")
        for _ in range(2):
            if blob.exists() and blob.stat().st_size == file.size:
                part.unlink(missing_ok=True)
                return
            if _complete(manifest, file, part, advance, on_pause) == file.digest:
                part.replace(blob)
                return
            advance(-part.stat().st_size)
            part.unlink()
    raise CheckpointError(
        f"{file.path} of {manifest.repo} came damaged twice: its checksum is not the one that the Hub gives. "
        "Something on the way changes what is downloaded; try another network, or later."
    )


def _remove_unsound(manifest: Manifest, file: HubFile, advance: Callable[[int], None]) -> None:
    """Remove what lies in the file's place, as long as it has to be, and is another one: somebody else may have put it.

    Small files are compared with their digest; large ones only where their header makes no sense, for that takes
    minutes. It is at least what `flux2.checkpoint.files.missing_file` looks at: whatever it finds broken comes again.
    """
    before = manifest.bytes_here(file)
    for path in (manifest.snapshot_path(file), manifest.blob(file)):
        if path.is_file() and path.stat().st_size == file.size and not _is_sound(file, path):
            path.unlink()
    if (after := manifest.bytes_here(file)) != before:
        advance(after - before)


def _is_sound(file: HubFile, path: Path) -> bool:
    if file.size > _READ_WHOLE and (not file.path.endswith(".safetensors") or is_whole(path)):
        return True
    return file.is_in(path)


@contextlib.contextmanager
def exclusive(lock: Path, on_wait: Callable[[], None]) -> Iterator[None]:
    """Hold a lock of the Hub cache; `on_wait` is called now and then while another process has it."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(WeakFileLock(lock, timeout=LOCK_SECONDS))
            except TimeoutError:
                on_wait()
                continue
            yield
            return


def _complete(manifest: Manifest, file: HubFile, part: Path, advance: Callable[[int], None], on_pause: OnPause) -> str:
    """Fetch what the part lacks; the digest of the whole."""
    with part.open("a+b") as out:
        if out.tell() > file.size:
            advance(-file.size)
            out.truncate(0)
        hasher = file.hasher()
        out.seek(0)
        while piece := out.read(_PIECE):
            hasher.update(piece)
        came = False

        def restart() -> None:
            nonlocal hasher
            advance(-out.tell())
            out.truncate(0)
            out.seek(0)
            hasher = file.hasher()

        def take(piece: bytes) -> None:
            nonlocal came
            came = True
            hasher.update(piece)
            out.write(piece)
            advance(len(piece))

        def attempt() -> None:
            nonlocal came
            came = False
            if out.tell() < file.size:
                _stream(manifest, file, out.tell(), restart, take)
            if out.tell() < file.size:
                raise HTTPError(f"{file.path} ended early")

        patiently(attempt, on_pause, came_on=lambda: came)
        out.flush()
        os.fsync(out.fileno())
        return str(hasher.hexdigest())


def _stream(
    manifest: Manifest, file: HubFile, start: int, restart: Callable[[], None], take: Callable[[bytes], None]
) -> None:
    """Fetch the file from `start` on, or from its beginning where the server can't do that."""
    url = hf_hub_url(manifest.repo, file.path, revision=manifest.commit)
    headers = {**build_hf_headers(library_name="flux2-tui", library_version=__version__), "accept-encoding": "identity"}
    if start:
        headers["range"] = f"bytes={start}-"
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT) as response:
        if start and response.status_code == 416:
            restart()
            raise HTTPError(f"{file.path}: the server has no bytes from {start} on")
        hf_raise_for_status(response)
        if start and not response.headers.get("content-range", "").startswith(f"bytes {start}-"):
            restart()
            start = 0
        left = file.size - start
        for piece in response.iter_raw():
            take(piece[:left])
            left -= len(piece)
            if left < 0:  # more than the file has: not this file; its digest will say so
                return


def patiently(
    attempt: Callable[[], Result], on_pause: OnPause, came_on: Callable[[], bool] = lambda: False, tries: int = 0
) -> Result:
    """Try until it works, with growing pauses, or as long as the Hub asks to wait.

    Args:
        attempt: raises HTTPError where it is worth another try, or is not.
        on_pause: told of every pause.
        came_on: whether the last attempt brought something; the pauses are short again then.
        tries: how many pauses at most; 0 for all of `PAUSES`.
    """
    pauses = list(PAUSES[: tries or None])
    while True:
        try:
            return attempt()
        except HTTPError as error:
            if came_on():
                pauses = list(PAUSES[: tries or None])
            seconds, reason = _worth_waiting(error)
            if reason == "" or not pauses:
                raise
            seconds = max(seconds, pauses.pop(0))
        on_pause(seconds, reason)
        sleep(seconds)
        on_pause(0.0, "")


def _worth_waiting(error: Any) -> tuple[float, str]:
    """Seconds that the server asks for, and the reason in words; "" where another try is of no use.

    Raises:
        CheckpointError: if it asks for more than anybody would wait.
    """
    response = getattr(error, "response", None)
    if response is None:
        return 0.0, "The connection was cut." if "ended" in str(error) else "The Hub does not answer."
    if response.status_code not in _WORTH_A_RETRY:
        return 0.0, ""
    asked = _asked_pause(response.headers)
    if asked > MAX_PAUSE:
        raise CheckpointError(
            f"The Hub wants no more requests for {clock(asked)}; try again then. What has come is kept."
        ) from error
    if response.status_code == 429:
        return asked, "The Hub gets too many requests and asks to wait."
    return asked, f"The Hub has a fault (HTTP {response.status_code})."


def _asked_pause(headers: Any) -> float:
    limit = parse_ratelimit_headers(headers)
    if limit is not None and limit.remaining == 0:
        return float(limit.reset_in_seconds)
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0
