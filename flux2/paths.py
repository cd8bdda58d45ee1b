"""Where things are kept on this machine: one place, the system's own conventions (platformdirs).

`FLUX2_HOME` moves everything but the pictures under one folder, for tests and for people who want that.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import platformdirs

APP = "flux2-tui"
_SUN_PATH_LIMIT = 100  # bytes; macOS allows 104 with the closing zero, Linux 108


def expand(text: str) -> Path:
    """What a user typed as a path, or a picture says, with ~ and ~name made out where there is such a user."""
    try:
        return Path(text).expanduser()
    except (RuntimeError, ValueError):  # ValueError: a zero byte, or half a surrogate pair
        return Path(text)


def absolute(path: str) -> str:
    """A path as it is meant here; one that ends in / still does, for it is a folder's."""
    return str(expand(path).absolute()) + ("/" if path.endswith("/") else "")


def _folder(kind: str) -> Path:
    if home := os.environ.get("FLUX2_HOME"):
        return expand(home).absolute() / kind
    return Path(getattr(platformdirs, f"user_{kind}_dir")(APP))


def config_dir() -> Path:
    """Settings, key maps, the user's themes."""
    return _folder("config")


def cache_dir() -> Path:
    """What can be made again: prompt embeddings, quantized weights, preview projections."""
    return _folder("cache")


def quantized_root() -> Path:
    """What `flux2 quantize` makes, or links to, lies in here."""
    return cache_dir() / "quantized"


def quantized_folder(transformer: Path, quantization: str) -> Path:
    """Where `flux2 quantize` puts the weights of this transformer: known by its folder, so that a changed one is."""
    digest = hashlib.sha256(os.fsencode(transformer.resolve())).hexdigest()[:16]
    return quantized_root() / f"{digest}-{quantization}"


def state_dir() -> Path:
    """The worker's journal, prompt history, logs."""
    return _folder("state")


def attachments_dir() -> Path:
    """Copies of the pictures that were handed in with requests (`flux2.pictures.attachments`)."""
    return state_dir() / "attachments"


def socket_path() -> Path:
    """The worker's Unix socket.

    It lies in the state folder, or, where that path is longer than a socket address may be, in a folder of the
    user's own under /tmp whose name is derived from it.
    """
    wanted = state_dir() / "run" / "worker.sock"
    if len(os.fsencode(wanted)) <= _SUN_PATH_LIMIT:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:12]
    return Path("/tmp") / f"flux2-{os.getuid()}-{digest}" / "worker.sock"


def pocket_checkpoint() -> Path:
    """The embedded model's folder."""
    return Path(__file__).parent / "pocket" / "checkpoint"
