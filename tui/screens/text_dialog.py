"""A dialog of one field; and paths of pictures as terminals paste and drag them: quoted, escaped, or as `file:`."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.paths import expand
from flux2.pictures.images import OTHER_FORMATS
from tui.screens.dialog import Dialog
from tui.terminal.probe import is_remote
from tui.widgets.fields import Field
from tui.widgets.plain import Label

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


class TextDialog(Dialog[str]):
    """Returns the text."""

    def __init__(self, title: str, placeholder: str, check: Callable[[str], str], value: str = "") -> None:
        """
        Args:
            check: what is wrong with a text, in a sentence; "" for nothing.
        """
        super().__init__()
        self._title, self._placeholder, self._check, self._value = title, placeholder, check, value

    def compose(self) -> ComposeResult:
        with Vertical(classes="dialog-box"):
            yield Label(self._title, classes="dialog-title")
            yield Field(self._value, placeholder=self._placeholder, compact=True)
            with Vertical(classes="dialog-foot"):
                yield Label("", classes="dialog-complaint")
                yield Label("enter, esc", classes="dialog-hint")

    def on_mount(self) -> None:
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if complaint := self._check(event.value):
            self.query_one(".dialog-complaint", Label).update(Content(complaint))
        else:
            self.dismiss(event.value)
