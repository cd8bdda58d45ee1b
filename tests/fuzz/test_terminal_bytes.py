"""Whatever a terminal sends, in whatever pieces and with whatever pauses."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from textual import events

from tests.fuzz.strategies import mutated
from tests.tui.terminal_replies import REPLIES
from tui.terminal.events import TerminalEvents
from tui.terminal.input import LONGEST_SEQUENCE, Character, Paste, TerminalInput, Token

LETTERS = st.text("abc é🦊\n", min_size=1, max_size=30)
TYPED = st.sampled_from([b"q", b"\x11", "é🦊".encode(), b"\x1b[A", b"\x1bOP", b"\x1b[97;5u", b"\x1bm"])
SHORT = [reply for reply in REPLIES.values() if len(reply) < 100]
PASTED = st.tuples(LETTERS, st.sampled_from([b"", *SHORT]), LETTERS).map(
    lambda parts: (
        b"\x1b[200~" + parts[0].encode() + parts[1].replace(b"\x1b[201~", b"") + parts[2].encode() + b"\x1b[201~"
    )
)
STREAM = st.lists(TYPED | st.sampled_from(SHORT) | PASTED, max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 200), max_size=12)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
    return [data[start:end] for start, end in pairwise(places)]


def tokens(sent: list[bytes]) -> list[Token]:
    input_ = TerminalInput()
    return [token for piece in sent for token in input_.feed(piece)]


@given(STREAM, CUTS)
def test_how_it_is_cut_makes_no_difference(data: bytes, cuts: list[int]) -> None:
    assert tokens(pieces(data, cuts)) == tokens([data])


@given(PASTED, CUTS)
def test_nothing_of_a_paste_is_typed(data: bytes, cuts: list[int]) -> None:
    assert all(isinstance(token, Paste) and "\x1b" not in token.text for token in tokens(pieces(data, cuts)))


@given(mutated(b"".join(SHORT)) | st.binary(max_size=300), CUTS, st.integers(0, 2**12))
def test_nothing_breaks_it_and_it_always_comes_back(data: bytes, cuts: list[int], pauses: int) -> None:
    input_, known = TerminalInput(), TerminalEvents()
    told: list[Token] = []
    for number, piece in enumerate(pieces(data, cuts)):
        told += input_.feed(piece)
        if pauses >> number & 1:
            told += input_.stood_still()
        assert len(input_._data) <= LONGEST_SEQUENCE
    for event in (event for token in told for event in known.of(token)):
        assert not isinstance(event, events.Resize)
        if isinstance(event, events.Key) and event.character:
            event.character.encode()
    for _ in range(3):  # at most a paste, what is late of it, nothing
        input_.stood_still()
    assert input_.patience is None
    assert input_.feed(b"q") == [Character("q")]
