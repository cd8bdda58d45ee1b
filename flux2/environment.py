"""Variables of the environment that make no sense: each costs itself, not the command, and is named in one sentence.

Libraries read theirs when they are imported, and some end the program over a unit (HF_HUB_DOWNLOAD_TIMEOUT=30s). So
`flux2/__init__.py` has them looked at before any library is imported; children inherit what is left. What leads to the
Hub (its address, proxies) is not dropped, for going another way than the user wants may tell somebody too much:
`flux2.store.route` refuses what would use it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, MutableMapping
from pathlib import Path

Check = Callable[[str], str]
"""What is wrong with a value, as a phrase that follows the variable's name; "" for nothing."""


def is_token(text: str) -> bool:
    """Whether a token may be sent in an HTTP header."""
    return re.fullmatch("[!-~]*", text) is not None


def _whole_number(value: str) -> str:
    return "" if re.fullmatch(r"\s*\d{1,9}\s*", value, re.ASCII) else f"is {value!r:.40}, not a whole number"


def _thread_numbers(value: str) -> str:
    """One for each level of nesting, as OpenMP has it."""
    return next(filter(None, map(_whole_number, value.split(","))), "")


def _number(value: str) -> str:
    return "" if re.fullmatch(r"\s*\d{1,9}(\.\d*)?\s*", value, re.ASCII) else f"is {value!r:.40}, not a number"


def _token(value: str) -> str:
    return "" if is_token(re.sub(r"[\r\n]", "", value).strip()) else "holds characters that no token has"


def _header(value: str) -> str:
    return "" if re.fullmatch("[ -~]*", value) else "holds characters that can't be sent"


def _size(value: str) -> str:
    from flux2.humanize import parse_size

    try:
        parse_size(value)
    except ValueError:
        return f"is {value!r:.40}, not a size as 12GB or 11500MiB"
    return ""


def _absolute(value: str) -> str:
    return "" if value.startswith("/") else f"is {value!r:.80}, not an absolute path"


def _folder(value: str) -> str:
    path = os.path.expanduser(value)  # noqa: PTH111 — which leaves a name of nobody as it is, where Path's raises
    return f"is {value!r:.80}, and there is no user of that name" if path.startswith("~") else ""


def _certificates(value: str) -> str:
    """What is wrong at a glance: to read them all takes as long as the rest of a start."""
    path = Path(value)
    try:
        fits = path.is_dir() or b"-----BEGIN " in path.read_bytes()
    except OSError:
        return f"is {value!r:.80}, which can't be read"
    return "" if fits else f"is {value!r:.80}, which holds no certificates"


def _writable(value: str) -> str:
    path = Path(value)
    fits = os.access(path, os.W_OK) if path.exists() else os.access(path.absolute().parent, os.W_OK)
    return "" if fits and not path.is_dir() else f"is {value!r:.80}, which can't be written"


PLACES = (
    *("FLUX2_HOME", "FLUX2_OUTPUT", "FLUX2_LORAS", "FLUX2_WEIGHTS"),
    *("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_XET_CACHE", "HF_TOKEN_PATH"),
)
"""Variables that name a folder or a file, perhaps one below the current folder."""
CHECKS: dict[str, Check] = {
    "HOME": _absolute,
    **dict.fromkeys(("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"), _absolute),
    "XDG_PICTURES_DIR": _absolute,
    **dict.fromkeys(PLACES, _folder),
    "FLUX2_MEMORY_BUDGET": _size,
    **dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), _token),
    "HF_HUB_USER_AGENT_ORIGIN": _header,
    **dict.fromkeys(("HF_HUB_DOWNLOAD_TIMEOUT", "HF_HUB_ETAG_TIMEOUT"), _whole_number),
    **dict.fromkeys(("SSL_CERT_FILE", "SSL_CERT_DIR"), _certificates),
    "SSLKEYLOGFILE": _writable,
    "OMP_NUM_THREADS": _thread_numbers,
    **dict.fromkeys(("OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"), _whole_number),
    **dict.fromkeys(("MLX_MAX_OPS_PER_BUFFER", "MLX_MAX_MB_PER_BUFFER", "MLX_BFS_MAX_WIDTH"), _whole_number),
    **dict.fromkeys(("TQDM_MININTERVAL", "TQDM_MAXINTERVAL", "TQDM_MINITERS", "TQDM_NCOLS"), _number),
}
"""What we and the libraries read that can make no sense to them; Textual's are looked at in `tui.terminal.probe`."""


def drop_nonsense(environment: MutableMapping[str, str]) -> tuple[str, ...]:
    """Take out of the environment what makes no sense; a sentence for each. What is empty is taken for unset."""
    for name in (*CHECKS, "HF_ENDPOINT"):
        if environment.get(name) == "":
            del environment[name]
    found = {name: check(environment[name]) for name, check in CHECKS.items() if name in environment}
    wrong = {name: complaint for name, complaint in found.items() if complaint}
    for name in wrong:
        del environment[name]
    return tuple(f"{name} {complaint}; it is not used." for name, complaint in wrong.items())
