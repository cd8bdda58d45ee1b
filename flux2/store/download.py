"""Fetch a repository's files, seen from the program that wants them: one call, progress, and an end at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flux2 import asker
from flux2.checkpoint.files import NEEDED_FILES
from flux2.errors import CheckpointError, GenerationCancelled
from flux2.events import DownloadProgress

OnProgress = Callable[[DownloadProgress], None]

_LISTEN_SECONDS = 0.1  # between two looks at should_stop
_LEAVE_SECONDS = 3.0


class DownloadStopped(GenerationCancelled):
    """The download was stopped because `should_stop()` said so. What has come is kept."""


def download(
    repo: str,
    on_progress: OnProgress = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    *,
    model: str = "",
    patterns: Sequence[str] = NEEDED_FILES,
) -> Path:
    """Bring a Hub repository's files into the Hub cache, going on where an earlier try ended.

    Every file's checksum is compared with the Hub's. While another process downloads the same, it is waited for.

    Args:
        repo: the repository's id.
        on_progress: told a few times a second; its `model` is `model`.
        should_stop: asked ten times a second.
        model: what the progress is told under; the repository's id if empty.
        patterns: of the files wanted, as in `fnmatch`.

    Returns:
        The snapshot's folder.

    Raises:
        CheckpointError: one sentence, if it can't be had: gated, no such repository, no room, no network, wrong bytes.
        DownloadStopped: soon after `should_stop()` has become true.
    """
    with _child(repo, patterns) as child:
        for line in _lines(child, should_stop):
            if "folder" in line:
                return Path(line["folder"])
            if "error" in line:
                raise CheckpointError(line["error"])
            on_progress(
                DownloadProgress(
                    model=model or repo,
                    state=line["state"],
                    done=line["done"],
                    total=line["total"],
                    bytes_per_second=line["rate"],
                    message=line["message"],
                )
            )
        code = child.wait()
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    raise CheckpointError(
        f"The download of {repo} was ended from outside ({how}); try again to go on where it stopped."
    )


@contextlib.contextmanager
def _child(repo: str, patterns: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process that downloads; it is gone when this is left."""
    child = subprocess.Popen(
        # -P: whatever lies in the user's current folder is not imported.
        [sys.executable, "-P", "-m", "flux2.store.process", repo, *patterns],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # the library's warnings: they hold addresses, and what they say is told as progress
        env={**asker.environment(), "HF_HUB_DISABLE_PROGRESS_BARS": "1"},
        start_new_session=True,  # a Ctrl-C in this terminal is for this process to hear
    )
    try:
        yield child
    finally:
        for end in (child.stdin, child.stdout):
            if end:
                end.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_LEAVE_SECONDS)
        if child.poll() is None:
            child.kill()
            child.wait()


def _lines(child: subprocess.Popen[bytes], should_stop: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """What the child says, until it ends.

    Raises:
        DownloadStopped: if it is to end.
    """
    assert child.stdout
    descriptor, rest = child.stdout.fileno(), b""
    while True:
        if should_stop():
            raise DownloadStopped("The download was stopped; what has come is kept.")
        if not select.select([descriptor], [], [], _LISTEN_SECONDS)[0]:
            continue
        if not (data := os.read(descriptor, 64 * 1024)):
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from map(json.loads, whole)
