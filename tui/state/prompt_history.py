"""The prompts that were run, oldest first, one JSON line each, shared by all screens of this user."""

from __future__ import annotations

import json
import os
from pathlib import Path

from flux2.disk.atomic import changing
from flux2.disk.private import make_private, read_own

KEPT = 1000
"""Prompts offered; the file keeps all of them."""


class PromptHistory:
    """Walks the past prompts; the unfinished one waits at the end and is never lost."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._entries: list[str] | None = None  # read on first use: not needed for the first frame
        self._place = 0
        self._draft = ""

    @property
    def entries(self) -> list[str]:
        if self._entries is None:
            self._entries = _read(self._path)
            self._place = len(self._entries)
        return self._entries

    @property
    def position(self) -> tuple[int, int] | None:
        """Which entry of how many is shown, from 1; None while it is the user's own draft."""
        entries = self.entries
        return (self._place + 1, len(entries)) if self._place < len(entries) else None

    def add(self, prompt: str, resolved: str = "") -> None:
        """Append a prompt that was run, unless it is the last one again.

        Args:
            prompt: as it was typed.
            resolved: what its wildcards became, if it has any; written down beside it.

        Raises:
            OSError: if the file can't be written; the prompt is in this screen's history all the same.
        """
        entries = self.entries
        is_new = bool(prompt.strip()) and (not entries or entries[-1] != prompt)
        if is_new:
            entries.append(prompt)
        self._place, self._draft = len(entries), ""
        if is_new:
            make_private(self._path.parent)
            record = {"prompt": prompt} | ({"resolved": resolved} if resolved not in ("", prompt) else {})
            # Half of a surrogate pair becomes its JSON escape; a line that was cut off must not swallow this one.
            line = json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"
            descriptor = lambda name, flags: os.open(name, flags, 0o600)  # noqa: E731
            with changing(self._path), open(self._path, "a+b", opener=descriptor) as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)

    def older(self, current: str) -> str | None:
        """The entry before the one shown; None at the oldest. `current` is kept where it is the draft."""
        entries = self.entries
        if self._place == len(entries):
            self._draft = current
        if self._place == 0:
            return None
        self._place -= 1
        return entries[self._place]

    def newer(self) -> str | None:
        """The entry after the one shown, at the end the draft; None if that is shown already."""
        entries = self.entries
        if self._place >= len(entries):
            return None
        self._place += 1
        return self._draft if self._place == len(entries) else entries[self._place]


def _read(path: Path) -> list[str]:
    try:
        lines = read_own(path).split(b"\n")
    except OSError:
        return []
    prompts: list[str] = []
    for line in lines[-KEPT - 1 :]:
        try:
            prompt = json.loads(line)["prompt"]
        except (ValueError, TypeError, KeyError, RecursionError):
            continue  # a line cut short by a crash costs that line alone
        if isinstance(prompt, str):
            prompts.append(prompt)
    return prompts
