"""The user's own editor for a text: `$VISUAL` or `$EDITOR` with its arguments, on a file of its own."""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from flux2.errors import Flux2Error


class EditorError(Flux2Error):
    """The editor could not be used; the text is what it was."""


def editor_command(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Program and arguments.

    Raises:
        EditorError: if none is set, or its quotes are not closed.
    """
    text = environment.get("VISUAL") or environment.get("EDITOR") or ""
    if not text.strip():
        raise EditorError("No editor is set; set EDITOR, as in `export EDITOR=nano`, and start flux2-tui again.")
    try:
        return shlex.split(text)
    except ValueError as error:
        raise EditorError(f"EDITOR is {text!r}, which can't be read ({error}); correct it.") from error


def edit(text: str, command: list[str]) -> str:
    """Let the editor change the text; waits until it has ended. The terminal must be free for it.

    Raises:
        EditorError: if it can't be started, or ends with an error; its text is not taken then.
    """
    with tempfile.TemporaryDirectory(prefix="flux2-") as folder:
        path = Path(folder) / "prompt.txt"
        path.write_text(text + "\n", "utf-8", "surrogateescape")
        try:
            ended = subprocess.run([*command, str(path)], check=False)
        except OSError as error:
            raise EditorError(f"The editor {command[0]!r} can't be started ({error.strerror or error}).") from error
        if ended.returncode:
            raise EditorError(f"The editor {command[0]!r} ended with an error ({ended.returncode}); nothing was taken.")
        try:
            return path.read_text("utf-8", "surrogateescape").rstrip("\n")
        except OSError as error:
            raise EditorError(f"The editor {command[0]!r} left no file ({error.strerror or error}).") from error
