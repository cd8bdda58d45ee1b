r"""The bytes that a terminal sends, cut into what they mean: characters, control sequences, pastes.

The grammar is ECMA-48's, with what terminals do beside it. A sequence is taken whole or not at all: of one that is
broken off, stands still or has no end nothing becomes a key. All that comes between `ESC [ 200 ~` and `ESC [ 201 ~` is
one paste, whatever it is (https://invisible-island.net/xterm/ctlseqs/ctlseqs.html).

No clock is read here: `patience` says how long to wait for the rest, and `stood_still` is told that nothing came.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

ESCAPE_DELAY: Final = 0.1
"""Seconds after which an escape is the key and begins no sequence."""
REST_DELAY: Final = 0.5
"""Seconds after which the rest of a sequence or paste is no longer waited for."""
LATE: Final = 5.0
"""Seconds in which several characters that come at once may still be that rest."""
LONGEST_PASTE: Final = 1_000_000
"""Bytes of a paste that are kept."""
LONGEST_SEQUENCE: Final = 4096
"""Bytes of an unfinished sequence that are kept; a longer one is nothing that anybody knows."""


class Character(NamedTuple):
    """One character, typed: a control character, too."""

    text: str


class Sequence(NamedTuple):
    """A whole control sequence, in its form of seven bits: `ESC`, and what follows it."""

    text: str


class Paste(NamedTuple):
    """Pasted text without anything that a terminal obeys; its lines end in LF."""

    text: str
    cut: bool = False
    """Whether it was longer than `LONGEST_PASTE`."""


Token = Character | Sequence | Paste

_PASTE_BEGIN, _PASTE_END = b"\x1b[200~", b"\x1b[201~"
_STRINGS = (b"P", b"X", b"]", b"^", b"_")
"""What after ESC begins a string: DCS, SOS, OSC, PM, APC."""
_STRING_END = re.compile(rb"[\x07\x18\x1a]|\x1b\\|\xc2\x9c|(?<![\x80-\xf4])\x9c|(\x1b(?:[\[O\]PX^_]|\Z))")
"""BEL, CAN, SUB, ST (also in one byte), or a sequence that breaks the string off, or what may be half of either."""
_CSI = re.compile(rb"\x1b\[(?:\d\d?\$|\[[ -~]|[ -?]+[@-~]|[@-Z\\-~])")
"""Also rxvt's keys with shift, which end in $, and the Linux console's function keys, `ESC [ [ A`."""
_CSI_BEGUN = re.compile(rb"\x1b\[(?:\[|[ -?]*)")
_SS3 = re.compile(rb"\x1bO[0-9;]*[ @-~]")
_SS3_BEGUN = re.compile(rb"\x1bO[0-9;]*")
_NUMBER = rb"(?>[\xc2-\xdf][\x80-\xbf]|[\xc2-\xdf](?!\Z)|[^\x1b\xc2-\xdf])"
"""Button, column or row of a mouse report in single characters: a byte, or in mode 1005 a character of UTF-8."""
_MOUSE = re.compile(rb"\x1b\[M" + _NUMBER * 3, re.DOTALL)
_MOUSE_BEGUN = re.compile(rb"\x1b\[M[^\x1b]{0,5}", re.DOTALL)
_EIGHT_BITS = re.compile(rb"\xc2?([\x8f\x90\x98\x9b\x9d-\x9f])")
"""SS3, DCS, SOS, CSI, OSC, PM and APC in one byte, also in UTF-8."""
_CHARACTER = re.compile(rb"[\x00-\x7f]|[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_CHARACTER_BEGUN = re.compile(rb"[\xc2-\xf4]|[\xe0-\xf4][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{2}")
_CHARACTER_AT_END = re.compile(rb"[\xc2-\xf4][\x80-\xbf]{0,2}\Z")
_NO_CHARACTER = re.compile(rb"[\xc0-\xff][\x80-\xbf]{0,5}|.", re.DOTALL)
"""What is dropped at once where there is no character."""
_ONE_KEY = re.compile(rb"[\x00-\x7f]|[\xc2-\xf4][\x80-\xbf]{1,3}|\x1b(?:\[[ -?]*[@-~]|O.|[^\[O])", re.DOTALL)
_NO_TEXT = re.compile(
    "\x1b(?:\\[[ -?]*[@-~]|[PX\\]^_][^\x07\x1b]*(?:\x07|\x1b\\\\)|O.|[^\\[])?"
    "|\r(?=\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"
)
"""What is taken out of pasted text: sequences, and all control characters but HT, LF and CR."""


class TerminalInput:
    """What has come and has no end yet. `feed` gives what has one."""

    def __init__(self) -> None:
        self._data, self._at = b"", 0
        """What has come, and how far it has been understood."""
        self._tokens: list[Token] = []
        self._paste: bytearray | None = None
        """What of a paste has come; None where none is going on."""
        self._cut = False
        self._string = b""
        """What began the string that is going on, and is passed over."""
        self._late = b""
        """What began something that stood still: its rest may still come."""

    @property
    def patience(self) -> float | None:
        """Seconds to wait for more before `stood_still`; None where there is nothing to wait for."""
        if self._paste is not None or self._string:
            return REST_DELAY
        if self._data:
            return ESCAPE_DELAY if _may_be_typed(self._data) else REST_DELAY
        return LATE if self._late else None

    def feed(self, data: bytes) -> list[Token]:
        """Everything that is whole now that these bytes have come."""
        if not data:
            return []
        if (
            self._late
            and not _ONE_KEY.fullmatch(data)
            and (self._late != b"\x1b" or data[:1] in (b"[", b"O", *_STRINGS))
        ):
            self._data = self._late
        self._late = b""
        self._data += data
        while self._at < len(self._data):
            before = self._at, self._string
            if self._paste is not None:
                self._go_on_pasting()
            elif self._string:
                self._pass_over()
            else:
                self._take()
            if (self._at, self._string) == before:  # the rest must be waited for
                break
        self._data, self._at = self._data[self._at :], 0
        if len(self._data) > LONGEST_SEQUENCE:
            self._data = b"\x1b[>"
        return self._taken()

    def stood_still(self) -> list[Token]:
        """What there is, now that nothing has come for `patience` seconds."""
        rest, self._data, self._late = self._data, b"", b""
        if self._paste is not None:
            self._late = _PASTE_BEGIN + rest
            self._end_paste()
        elif self._string:
            self._late, self._string = self._string + b" " + rest, b""
        elif _may_be_typed(rest):
            self._late = rest if rest == b"\x1b" else b""
            self._tokens += [Sequence("\x1b"), *(Character(chr(byte)) for byte in rest[1:])]
        elif rest[:1] == b"\x1b":
            self._late = rest
        return self._taken()

    def _taken(self) -> list[Token]:
        tokens, self._tokens = self._tokens, []
        return tokens

    def _take(self) -> None:
        """Take the character or sequence that comes next, unless its rest must be waited for."""
        data, at = self._data, self._at
        if data[at] == 0x1B:
            self._take_sequence()
        elif match := _EIGHT_BITS.match(data, at):
            self._data = data[:at] + b"\x1b" + bytes([match[1][0] - 0x40]) + data[match.end() :]
            self._take_sequence()
        elif match := _CHARACTER.match(data, at):
            self._at = match.end()
            self._type(match[0])
        elif not _CHARACTER_BEGUN.fullmatch(data, at):
            self._skip(_NO_CHARACTER)

    def _type(self, character: bytes) -> None:
        text = character.decode(errors="ignore")  # a surrogate, or above U+10FFFF
        if text and not "\x80" <= text <= "\x9f":
            self._tokens.append(Character(text))

    def _take_sequence(self) -> None:
        data, at = self._data, self._at
        kind = data[at + 1 : at + 2]
        if kind in (b"[", b"O"):
            self._take_control()
        elif kind in _STRINGS:
            if len(data) > at + 2:
                self._string = data[at : at + 2]
                self._at += 2
        elif kind == b"\\":  # ST of a string that has been dropped
            self._at += 2
        elif kind == b"\x1b":
            self._at += 1
            self._tokens.append(Sequence("\x1b"))
        elif match := _CHARACTER.match(data, at + 1):
            self._at = match.end()
            self._tokens.append(Sequence("\x1b" + match[0].decode(errors="ignore")))
        elif kind and not _CHARACTER_BEGUN.fullmatch(data, at + 1):
            self._at += 1
            self._tokens.append(Sequence("\x1b"))

    def _take_control(self) -> None:
        """Take `ESC [ …` or `ESC O …`; what is broken off is dropped."""
        if self._data.startswith(b"\x1b[M", self._at):
            whole, begun = _MOUSE, _MOUSE_BEGUN
        elif self._data.startswith(b"\x1b[", self._at):
            whole, begun = _CSI, _CSI_BEGUN
        else:
            whole, begun = _SS3, _SS3_BEGUN
        if match := whole.match(self._data, self._at):
            self._at = match.end()
            if match[0] == _PASTE_BEGIN:
                self._paste, self._cut = bytearray(), False
            elif match[0] != _PASTE_END:
                self._tokens.append(Sequence(match[0].decode("latin-1")))
        elif not begun.fullmatch(self._data, self._at):
            self._skip(begun)
            if self._data[self._at] in (0x18, 0x1A):  # CAN, SUB
                self._at += 1

    def _skip(self, what: re.Pattern[bytes]) -> None:
        match = what.match(self._data, self._at)
        assert match is not None
        self._at = match.end()

    def _go_on_pasting(self) -> None:
        assert self._paste is not None
        data, at = self._data, self._at
        end = data.find(_PASTE_END, at)
        if end >= 0:
            self._keep(data[at:end])
            self._end_paste()
            self._at = end + len(_PASTE_END)
            return
        lengths = range(len(_PASTE_END) - 1, 0, -1)
        begun = next((length for length in lengths if data.endswith(_PASTE_END[:length], at)), 0)
        self._at = len(data) - begun
        self._keep(data[at : self._at])

    def _keep(self, data: bytes) -> None:
        assert self._paste is not None
        room = LONGEST_PASTE - len(self._paste)
        self._cut |= len(data) > room
        self._paste += data[:room]

    def _end_paste(self) -> None:
        assert self._paste is not None
        text = _NO_TEXT.sub("", self._paste.decode(errors="replace")).replace("\r", "\n")
        self._paste = None
        if text:
            self._tokens.append(Paste(text, self._cut))

    def _pass_over(self) -> None:
        """Go to the end of a string."""
        match = _STRING_END.search(self._data, self._at)
        if match is None:
            tail = _CHARACTER_AT_END.search(self._data, max(self._at, len(self._data) - 3))
            self._at = tail.start() if tail else len(self._data)
        elif match[1] is None:
            self._at, self._string = match.end(), b""
        else:
            self._at = match.start()
            if match[1] != b"\x1b":
                self._string = b""


def _may_be_typed(rest: bytes) -> bool:
    """Whether a person may have typed this: escape, or escape and one character right behind it."""
    return rest[:1] == b"\x1b" and len(rest) <= 2 and rest != b"\x1b["
