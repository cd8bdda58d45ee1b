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


def _from_home(text: str) -> Path:
    """A folder of the settings, which know no current one."""
    return Path.home() / expand(text)


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


def pictures_dir() -> Path:
    """Where pictures are saved: FLUX2_OUTPUT, the user's setting, or `flux2` in their pictures folder."""
    from flux2.settings import settings  # which looks for its file here

    if chosen := os.environ.get("FLUX2_OUTPUT"):
        return expand(chosen).absolute()
    if chosen := settings().output_folder:
        return _from_home(chosen)
    return Path(platformdirs.user_pictures_dir()) / "flux2"


def models_dir() -> Path:
    """Where checkpoints from the Hub are kept, in its cache's layout: HF_HUB_CACHE, the user's setting, its default."""
    from flux2.settings import settings

    if (chosen := settings().models_folder) and not os.environ.get("HF_HUB_CACHE"):
        return _from_home(chosen)
    from huggingface_hub.constants import HF_HUB_CACHE

    return Path(HF_HUB_CACHE)


def models_dir_variable() -> str:
    """What `models_dir` follows, by the name under which the user can change it: a variable, or the setting."""
    from flux2.settings import settings

    if os.environ.get("HF_HUB_CACHE"):
        return "HF_HUB_CACHE"
    if settings().models_folder:
        return "the setting models_folder"
    return "HUGGINGFACE_HUB_CACHE" if os.environ.get("HUGGINGFACE_HUB_CACHE") else "HF_HOME"


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
