"""Paths of pictures as terminals paste and drag them: quoted, escaped, or as `file:`."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flux2.paths import expand
from flux2.pictures.images import OTHER_FORMATS
from tui.terminal.probe import is_remote

_LONGEST = 4096
"""Characters of a path."""
_MOST = 1000
"""Paths that are pasted at once."""
_PICTURES = {".png", *OTHER_FORMATS}


def pasted_path(text: str) -> Path | None:
    """The path of a picture, or of a file that there is, that a text is; None where it is anything else.

    A picture's need not exist, nor be of a kind that can be read: it is no prompt either way.
    """
    text = text.strip()
    if not text or len(text) > _LONGEST or "\n" in text:
        return None
    if text[0] in "'\"" and text[-1] == text[0] and len(text) > 2:
        text = text[1:-1]
    elif text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    else:
        text = re.sub(r"\\(.)", r"\1", text)
    if not text.startswith(("/", "~", "./", "../")):
        return None
    path = expand(text)
    return path if path.suffix.lower() in _PICTURES or _is_file(path) else None


def pasted_paths(text: str) -> list[Path]:
    """The paths of the pictures that were pasted or dragged at once, [] where the text is anything else."""
    path = pasted_path(text)
    if path is not None and _is_file(path):  # whatever blanks are in its name
        return [path]
    parts = [line for line in text.split("\n", _MOST) if line.strip()]
    if len(parts) < 2:
        try:
            parts = shlex.split(text[:_LONGEST]) if text.lstrip().startswith(("/", "~", "'", '"')) else []
        except ValueError:  # a quote that is never closed
            parts = []
    paths = [one for part in parts if (one := pasted_path(part)) is not None]
    if len(paths) == len(parts) > 1:
        return paths
    return [path] if path is not None else []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def picture_path(text: str) -> Path:
    """What was typed into a field for a picture's path."""
    return pasted_path(text) or expand(text.strip())


def absent(path: Path) -> str:
    """What is wrong with a picture's path, in a sentence; "" for nothing."""
    if _is_file(path):
        return ""
    if path.exists():
        return f"{path} is no file; give the path of a picture."
    hint = " It may be on yours: copy it here with scp first." if is_remote() else ""
    return f"There is no file {path} on this machine.{hint}"
