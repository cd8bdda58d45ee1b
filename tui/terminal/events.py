"""What the terminal has sent, as Textual's events. What Textual does not know, or can't bear, is dropped."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

from textual import events, messages
from textual._ansi_sequences import ANSI_SEQUENCES_KEYS
from textual._keyboard_protocol import FUNCTIONAL_KEYS
from textual._xterm_parser import XTermParser
from textual.message import Message

from tui.terminal.input import Character, Paste, Sequence, Token

ESCAPE = "\x1b"
_SIGNS = "0123456789-="
"""What with alt held is another sign on a Mac's keyboard."""
_CURSOR = re.compile(r"\x1b\[(\d{1,5});(\d{1,5})R")
_MOUSE = re.compile(r"\x1b\[<(\d{1,3});(\d{1,5});(\d{1,5})[Mm]")
_MOST = 1000
_MOUSE_BUTTONS = 128
"""What a mouse report's first number is below: from here on it is a button that Textual takes for another."""
_SYNCHRONIZED = re.compile(r"\x1b\[\?2026;[123]\$y")
_KEY = re.compile(r"(\x1b\[)(\d+)(?::[\d:]*)?(?:(;\d*)(?::(\d))?)?(;[\d:]*)?([u~ABCDEFHPQS])")
"""Kitty's form: code and its alternatives, modifiers and kind of event, text
(https://sw.kovidgoyal.net/kitty/keyboard-protocol/)."""
_RELEASED = "3"
_CONTROL_KEYS = (9, 13, 27)
"""Tab, enter and escape: no other key has a control character's number."""


class TerminalEvents:
    """One terminal's: where its mouse was is remembered.

    Its own replies, of which it may send any at any time, are no keys
    (https://github.com/Textualize/textual/issues/3742). In-band reports of its size are not believed: the system
    knows it (SIGWINCH), and a size of 99,999 × 99,999 costs all memory.
    """

    def __init__(self, size: Callable[[], tuple[int, int]] = lambda: (_MOST, _MOST)) -> None:
        """
        Args:
            size: columns and rows of the terminal; a mouse that is beyond them is nowhere.
        """
        self._size = size
        self._parser: Any = XTermParser()

    def of(self, token: Token) -> Iterator[Message]:
        match token:
            case Paste(text):
                yield events.Paste(text)
            case Character(text) if unicodedata.category(text) == "Cf":
                yield events.Paste(text)  # joins emoji, parts words in Persian; a field takes no such key
            case Character(text):
                yield from self._keys(text)
            case Sequence(text) if len(text) <= 2:
                yield from self._escape_and(text[1:])
            case Sequence("\x1b[I"):
                yield events.AppFocus()
            case Sequence("\x1b[O"):
                yield events.AppBlur()
            case Sequence(text):
                yield from self._report_or_key(text)

    def _report_or_key(self, sequence: str) -> Iterator[Message]:
        if place := _CURSOR.fullmatch(sequence):
            yield events.CursorPosition(int(place[2]) - 1, int(place[1]) - 1)
        elif _SYNCHRONIZED.fullmatch(sequence):
            yield messages.TerminalSupportsSynchronizedOutput()
        elif mouse := _MOUSE.fullmatch(sequence):
            columns, rows = self._size()
            if int(mouse[1]) < _MOUSE_BUTTONS and 1 <= int(mouse[2]) <= columns and 1 <= int(mouse[3]) <= rows:
                yield self._parser.parse_mouse_code(sequence)
        elif sequence in ANSI_SEQUENCES_KEYS:
            yield from self._keys(sequence)
        elif (key := _KEY.fullmatch(sequence)) and key[4] != _RELEASED and _is_key(int(key[2]), key[6]):
            yield from self._keys("".join(part for number in (1, 2, 3, 5, 6) if (part := key[number])))

    def _escape_and(self, key: str) -> Iterator[Message]:
        """Escape and a key that came together are those two, not the key with alt held, which nothing here means.

        tmux sends them together where they are typed within half a second, and so does any line that falters.
        """
        if key == "\r":
            yield events.Key("alt+enter", key)
            return
        together = list(self._keys(ESCAPE + key)) if key and key not in _SIGNS else []
        if together:
            yield from together
        else:
            yield events.Key("escape", ESCAPE)
            yield from self._keys(key)

    def _keys(self, sequence: str) -> list[Message]:
        """Key events of a character or sequence: none where its numbers are no characters."""
        try:
            keys = list(self._parser._sequence_to_key_events(sequence)) if sequence else []
        except (ValueError, OverflowError):
            return []
        return [key for key in keys if key.key != "<ignore>" and _is_text(key.character)]


def _is_key(code: int, end: str) -> bool:
    """Whether there is such a key. Textual takes any number for a character's: `ESC [ 113 ~` for a q."""
    return code >= 32 or code in _CONTROL_KEYS if end == "u" else f"{code}{end}" in FUNCTIONAL_KEYS


def _is_text(character: str | None) -> bool:
    """Whether it can be written: half a surrogate pair can't."""
    return character is None or character.isascii() or character.encode(errors="ignore") != b""
