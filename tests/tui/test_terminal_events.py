"""What the terminal sends becomes the right events, and its own words become no keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from textual import events
from textual.message import Message

from tests.tui.terminal_replies import REPLIES
from tui.terminal.events import TerminalEvents
from tui.terminal.input import TerminalInput

STILL = None
"""Nothing comes for as long as it is waited."""


def events_of(*sent: bytes | None) -> list[Message]:
    """Events of what comes in these pieces, and then nothing more."""
    input_, known = TerminalInput(), TerminalEvents()

    def tokens() -> Iterator[object]:
        for piece in sent:
            yield from input_.stood_still() if piece is STILL else input_.feed(piece)
        while input_.patience is not None:
            yield from input_.stood_still()

    return [event for token in tokens() for event in known.of(token)]  # type: ignore[arg-type]


def keys_of(*sent: bytes | None) -> list[str]:
    """Keys by their names, pastes by their texts in quotes."""
    told = events_of(*sent)
    return [event.key if isinstance(event, events.Key) else repr(event.text) for event in told]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"\x1bm", ["escape", "m"]),
        (b"\x1bmq", ["escape", "m", "q"]),
        (b"\x1b?", ["escape", "question_mark"]),
        (b"\x1b3", ["escape", "3"]),
        (b"\x1b-", ["escape", "minus"]),
        (b"\x1b\r", ["alt+enter"]),
        (b"\x1b", ["escape"]),
        (b"\x1b\x1b", ["escape", "escape"]),
        (b"\x1bP", ["escape", "P"]),
        (b"\x1b[A", ["up"]),
        (b"\x1bOA", ["up"]),
        (b"\x1bb", ["ctrl+left"]),  # option and an arrow on a Mac
        (b"\x1b[15~", ["f5"]),
        (b"\x1b[[A", ["f1"]),  # the Linux console
        (b"\x1b[3$", ["shift+delete"]),  # rxvt
        (b"\x1b[97;5u", ["ctrl+a"]),  # Kitty's protocol
        (b"\x1b[97:65;2:1;65u", ["A"]),  # with the events and alternatives that it can tell
        (b"\x1b[1;2A", ["shift+up"]),
        (b"\x11", ["ctrl+q"]),
        ("£é🦊".encode(), ["pound_sign", "é", "fox_face"]),
        (b"m", ["m"]),
        ("👩\u200d👧".encode(), ["woman", "'\\u200d'", "girl"]),  # what joins is text, though no key
    ],
)
def test_keys(sent: bytes, keys: list[str]) -> None:
    assert keys_of(sent) == keys
    if sent != b"\x1b\x1b" and len(sent) > 2:
        assert keys_of(*(sent[place : place + 1] for place in range(len(sent)))) == keys


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES.keys())
def test_no_reply_is_a_key(reply: bytes) -> None:
    def check(*sent: bytes | None, after: tuple[str, ...] = ()) -> None:
        keys = [event.key for event in events_of(*sent) if isinstance(event, events.Key)]
        assert tuple(keys) == after, sent
        assert not any(isinstance(event, events.Paste | events.Resize) for event in events_of(*sent))

    check(reply + b"q", after=("q",))
    check(reply, reply, STILL, b"q", after=("q",))
    if len(reply) < 100:
        for place in range(1, len(reply)):
            check(reply[:place], reply[place:] + b"q", after=("q",))


@pytest.mark.parametrize("reply", [reply for reply in REPLIES.values() if 8 < len(reply) < 100 and reply[0] == 0x1B])
def test_a_reply_whose_rest_comes_late(reply: bytes) -> None:
    """Escape alone is the key, and one character alone is one that was typed."""
    for place in range(2, len(reply) - 2):
        if reply[1:2] in b"PX]^_" and place == 2:
            continue  # as if escape and this letter had been typed
        assert not any(isinstance(event, events.Key) for event in events_of(reply[:place], STILL, reply[place:])), place
    assert keys_of(reply[:-3], STILL, STILL, b"q") == ["q"]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ((b"a\xe9b",), ["a", "b"]),  # Latin-1
        ((b"\xff\xfe\x80q",), ["q"]),
        ((b"\xe2\x82", b"\xac"), ["euro_sign"]),
        ((b"\xe2\x82", STILL, b"q"), ["q"]),
        ((b"\xed\xa0\x80q",), ["q"]),  # half of a surrogate pair
        ((b"\xc3q",), ["q"]),
    ],
)
def test_bytes_that_are_no_utf_8(sent: tuple[bytes | None, ...], keys: list[str]) -> None:
    assert keys_of(*sent) == keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ((b"\x1b[200~x\x1b[0my\nz\x1b[201~q",), ["'xy\\nz'", "q"]),
        ((b"\x1b[200~x\x1b", b"[201", b"~q"), ["'x'", "q"]),
        ((b"\x1b[200~a\r\nb\rc\td\x03\x11\x00\x7f\xc2\x9be\x1b[201~",), ["'a\\nb\\nc\\tde'"]),
        ((b"\x1b[200~caf\xe9\x1b[201~",), ["'caf\ufffd'"]),
        ((b"\x1b[200~\x1b[200~a\x1b]0;title\x07b\x1b[201~q",), ["'ab'", "q"]),
        ((b"\x1b[200~\x1b[201~q",), ["q"]),
    ],
)
def test_a_paste_is_one_and_is_text(sent: tuple[bytes | None, ...], keys: list[str]) -> None:
    assert keys_of(*sent) == keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ((b"\x1b[200~hello ", STILL, b"\x11"), ["'hello '", "ctrl+q"]),
        ((b"\x1b[200~hello ", STILL, b"\x1b[A", b"up"), ["'hello '", "up", "u", "p"]),
        ((b"\x1b[200~hello ", STILL, b"fox\nin", b" the snow\x1b[201~q"), ["'hello '", "'fox\\nin the snow'", "q"]),
        ((b"\x1b[200~hello \x1b[20", STILL, b"1~q"), ["'hello '", "q"]),
        ((b"\x1b[200~hello ", STILL, STILL, b"fox"), ["'hello '", "f", "o", "x"]),
    ],
)
def test_a_paste_without_end(sent: tuple[bytes | None, ...], keys: list[str]) -> None:
    """It is over when it stands still; what comes in one piece soon after is still of it, one key alone is a key."""
    assert keys_of(*sent) == keys


def test_a_paste_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.terminal.input.LONGEST_PASTE", 10)
    input_ = TerminalInput()
    [paste] = input_.feed(b"\x1b[200~" + b"0123456789" * 3 + b"\x1b[201~")
    assert paste == ("0123456789", True)
