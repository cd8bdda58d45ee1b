"""What is changed inside Textual still fits this version of it, and does what it is for."""

from __future__ import annotations

import pytest

from tui.inside_textual import EscapeFirstParser, missing


def test_this_version_of_textual_bears_all_of_it() -> None:
    assert missing() == []


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1bm", ["escape", "m"]),
        ("\x1bmq", ["escape", "m", "q"]),
        ("\x1b?", ["escape", "question_mark"]),
        ("\x1b3", ["escape", "3"]),
        ("\x1b-", ["escape", "minus"]),
        ("\x1b\r", ["alt+enter"]),
        ("\x1b", ["escape"]),
        ("\x1b[A", ["up"]),
        ("\x1bb", ["ctrl+left"]),  # option and an arrow on a Mac
        ("\x1b[15~", ["f5"]),
        ("£", ["pound_sign"]),
        ("m", ["m"]),
    ],
)
def test_escape_and_a_key_at_once(sent: str, keys: list[str]) -> None:
    parser = EscapeFirstParser()
    events = [*parser.feed(sent), *parser.feed("")]
    assert [event.key for event in events] == keys
