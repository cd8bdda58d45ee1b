"""A download as a process of its own: `python -m flux2.store.process REPO PATTERN…`.

So that it can be ended at once, at any byte, by a signal; so that the worker's memory is the engine's alone; and so
that checksums take no time from the thread that denoises. It says how far it is in lines of JSON on stdout, the last of
which has either "folder" or "error", and ends when its stdin does: with whoever started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, get_token

from flux2.architecture.config_reader import check_class
from flux2.checkpoint.files import INDEX_FILE, NEEDED_FILES, PIPELINES
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.manifest import HubFile, Manifest, locks, storage
from flux2.errors import CheckpointError, Flux2Error
from flux2.folders import models_dir_variable
from flux2.humanize import size
from flux2.store import route
from flux2.store.choosing import choose_files
from flux2.store.fetch import ANOTHER, TIMEOUT, HTTPError, exclusive, fetch, patiently
from flux2.store.refusals import in_words
from flux2.store.snapshot import bytes_to_copy, name_files

TELL_EVERY = 0.25
"""Seconds between two lines."""
ROOM_TO_LEAVE = 256 * 1024**2
"""Bytes of the disk that a download does not take: other programs need some, and so do our logs."""

_AT_ONCE = 4  # files: one connection rarely fills a line
_FIRST_TRIES = 2  # pauses before the first answer: somebody who is offline wants to know soon
_RATE_SECONDS = 5.0


class Tally:
    """How far a download is, from several threads, and where it is told."""

    def __init__(self) -> None:
        self.total = self._done = 0
        self._fetched = 0
        self._pause = ""
        self._lock = threading.Lock()
        self._history: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    def expect(self, manifest: Manifest) -> None:
        self.total, self._done = manifest.size, manifest.here

    def advance(self, count: int) -> None:
        with self._lock:
            self._done += count
            self._fetched += max(0, count)

    def on_pause(self, _seconds: float, reason: str) -> None:
        if reason != self._pause:
            self._pause = reason
            self.tell()

    def tell(self, state: str = "", message: str = "") -> None:
        """A line of how far it is."""
        now = time.monotonic()
        with self._lock:
            while len(self._history) > 1 and now - self._history[0][0] > _RATE_SECONDS:
                self._history.popleft()
            self._history.append((now, self._fetched))
            since, before = self._history[0]
            rate = (self._fetched - before) / max(now - since, 1e-3)
            waits = "" if rate else self._pause  # one file may wait while the others come
            usual = "downloading" if rate else "waiting" if waits else "checking"
            say(state=state or usual, done=self._done, total=self.total, rate=rate, message=message or waits)


def say(**facts: Any) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(json.dumps(facts), flush=True)


def main() -> int:
    """Returns the exit code; why it failed has been said."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    repo, *patterns = sys.argv[1:]
    return run(repo, patterns)


def run(repo: str, patterns: Sequence[str]) -> int:
    """Download everything of the repository that matches, saying how far it is."""
    try:
        say(folder=str(_download(repo, patterns)))
        return 0
    except Flux2Error as error:
        say(error=str(error))
    except (HTTPError, OSError) as error:
        say(error=in_words(error, repo))
    except Exception as error:
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        token = get_token()
        say(error=f"The download of {repo} failed ({text.replace(token, '…') if token else text}); try again.")
    return 1


def _end_with_parent() -> None:
    os.read(sys.stdin.fileno(), 1)
    os._exit(1)


def _download(repo: str, patterns: Sequence[str]) -> Path:
    """Everything of the repository that matches, in the cache.

    Raises:
        CheckpointError, HTTPError, OSError: if it can't be had.
    """
    if fault := route.fault():
        raise CheckpointError(fault)
    tally = Tally()
    tally.tell("starting")
    with exclusive(locks(repo) / "flux2.lock", lambda: _tell_of_another(repo, tally)):
        manifest = patiently(lambda: _ask_hub(repo, patterns), tally.on_pause, tries=_FIRST_TRIES)
        tally.expect(manifest)
        _check_room(manifest)
        if {*NEEDED_FILES} <= {*patterns}:  # not where only some parts are wanted
            manifest.save()
        _refuse_unknown_pipeline(manifest, tally)
        _fetch_all(manifest, tally)
        tally.tell("checking")
        return name_files(manifest)


def _tell_of_another(repo: str, tally: Tally) -> None:
    """How far the process is that downloads the same."""
    if manifest := Manifest.last(repo):
        tally.expect(manifest)
    tally.tell("waiting", ANOTHER)


def _ask_hub(repo: str, patterns: Sequence[str]) -> Manifest:
    info = HfApi().model_info(repo, files_metadata=True, timeout=TIMEOUT)
    files = [
        HubFile(file.rfilename, file.lfs.size, file.lfs.sha256)
        if file.lfs
        else HubFile(file.rfilename, file.size or 0, file.blob_id or "")
        for file in info.siblings or []
    ]
    found = choose_files(repo, files, patterns)
    if strange := next((file for file in found if not file.is_named_by_digest), None):
        raise CheckpointError(f"The Hub gives no checksum for {strange.path} of {repo}; it is not downloaded.")
    if strange := next((file for file in found if not file.stays_inside), None):
        raise CheckpointError(
            f"The Hub names a file {strange.path!r} of {repo}, which is no path; it is not downloaded."
        )
    if not re.fullmatch("[0-9a-f]{40}", info.sha or ""):
        raise CheckpointError(f"The Hub names no revision of {repo}, by which its folder is called; try again later.")
    return Manifest(repo, str(info.sha), found)


def _check_room(manifest: Manifest) -> None:
    """Refuse before the first byte what would fill the disk."""
    folder = storage(manifest.repo)
    folder.mkdir(parents=True, exist_ok=True)
    free, wanted = shutil.disk_usage(folder).free, manifest.size - manifest.here + bytes_to_copy(manifest)
    if wanted and free < wanted + ROOM_TO_LEAVE:
        raise CheckpointError(
            f"{manifest.repo} needs {size(wanted)} more and {size(ROOM_TO_LEAVE)} to spare on the disk of "
            f"{folder.parent}, where {size(free)} are free: make {size(wanted + ROOM_TO_LEAVE - free)} of room, or let "
            f"{models_dir_variable()} name a folder on another disk."
        )


def _refuse_unknown_pipeline(manifest: Manifest, tally: Tally) -> None:
    """Look at the index before gigabytes come."""
    for file in manifest.files:
        if file.path == INDEX_FILE:
            fetch(manifest, file, advance=tally.advance, on_pause=tally.on_pause)
            place = next(path for path in (manifest.blob(file), manifest.snapshot_path(file)) if path.exists())
            try:
                named = read_json(place).get("_class_name")
            except CheckpointError as error:
                raise CheckpointError(
                    f"The {INDEX_FILE} of {manifest.repo} is no JSON object, so that nobody knows what the repository "
                    "holds; choose another one."
                ) from error
            check_class(Path(manifest.repo) / INDEX_FILE, named, PIPELINES)


def _fetch_all(manifest: Manifest, tally: Tally) -> None:
    pool = ThreadPoolExecutor(_AT_ONCE)
    tasks = [
        pool.submit(fetch, manifest, file, advance=tally.advance, on_pause=tally.on_pause) for file in manifest.files
    ]
    while wait(tasks, timeout=TELL_EVERY, return_when=FIRST_EXCEPTION).not_done:
        tally.tell()
        for task in tasks:
            if task.done():
                task.result()
    for task in tasks:
        task.result()


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    os._exit(code)  # threads that still wait for bytes would hold the process up; what they wrote is on the disk
