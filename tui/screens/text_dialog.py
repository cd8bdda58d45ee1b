"""A dialog of one field; and paths of pictures as terminals paste and drag them: quoted, escaped, or as `file:`."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.paths import expand
from tui.screens.dialog import Dialog
from tui.terminal import is_remote
from tui.widgets.fields import Field
from tui.widgets.plain import Label

_LONGEST = 4096
"""Characters of a path."""


def pasted_path(text: str) -> Path | None:
    """The picture's path that a text is, None where it is anything else; it need not exist."""
    text = text.strip()
    if not text or len(text) > _LONGEST or "\n" in text:
        return None
    if text[0] in "'\"" and text[-1] == text[0] and len(text) > 2:
        text = text[1:-1]
    elif text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    else:
        text = re.sub(r"\\(.)", r"\1", text)
    if not text.lower().endswith(".png") or not text.startswith(("/", "~", "./", "../")):
        return None
    return expand(text)


def picture_path(text: str) -> Path:
    """What was typed into a field for a picture's path."""
    return pasted_path(text) or expand(text.strip())


def absent(path: Path) -> str:
    """What is wrong with a picture's path, in a sentence; "" for nothing."""
    try:
        if path.is_file():
            return ""
    except OSError:
        pass
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
