"""The shell that a request comes from: what of its environment travels with it, and what only a new worker has.

The worker was started in some shell, perhaps days ago, and is asked from others. What a download reads (the token, the
endpoint, proxies, certificates) comes with each connection and is kept in memory alone: it is never written to the
queue, a journal, a log or a picture. Where the pictures go is a field of the request. The rest is read once by the
worker's process; where it differs, the screen says so and offers a new worker.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path

from flux2.paths import cache_dir, config_dir

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
_FILES = ("HF_TOKEN_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")
CARRIED = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HF_ENDPOINT",
    "HF_HUB_OFFLINE",
    "HF_HUB_ETAG_TIMEOUT",
    "HF_HUB_DOWNLOAD_TIMEOUT",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN",
    *_FILES,
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
)
"""Variables that a download reads, in a process of its own that is given the asker's."""
_LONGEST = 8192
"""Characters of a value that travel: a greeting has to fit a message."""
_READ_ONCE = ("FLUX2_MEMORY_BUDGET", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "CUDA_VISIBLE_DEVICES")

Asker = Mapping[str, str] | None
"""The carried variables of whoever asks; None for this process itself."""

_asker: ContextVar[Asker] = ContextVar("asker", default=None)


def carried() -> dict[str, str]:
    """The carried variables of this process, "" where one is not set, with their paths as they are meant here."""
    here = {name: os.environ.get(name, "")[:_LONGEST] for name in CARRIED}
    return here | {name: str(Path(here[name]).absolute()) for name in _FILES if here[name]}


@contextlib.contextmanager
def asked_by(variables: Asker) -> Iterator[None]:
    """What is downloaded meanwhile is so with these carried variables; with this process's own where they are None."""
    token = _asker.set(variables)
    try:
        yield
    finally:
        _asker.reset(token)


def environment() -> dict[str, str]:
    """The environment for a process that downloads: this process's own, but the asker's carried variables."""
    asker = _asker.get()
    if asker is None:
        return dict(os.environ)
    others = {name: value for name, value in os.environ.items() if name not in CARRIED}
    return others | {name: asker[name] for name in CARRIED if asker.get(name)}


def read_once() -> dict[str, str]:
    """What a worker's process has from its environment for as long as it lives, by the variable that names it."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folders = {"HF_HOME": HF_HUB_CACHE, "XDG_CACHE_HOME": str(cache_dir()), "XDG_CONFIG_HOME": str(config_dir())}
    return folders | {name: os.environ.get(name, "") for name in _READ_ONCE}


def differing(theirs: Mapping[str, str]) -> list[str]:
    """The variables by which a worker's process differs from this one; none for a worker that does not tell them."""
    ours = read_once()
    return [name for name in ours if name in theirs and theirs[name] != ours[name]]
