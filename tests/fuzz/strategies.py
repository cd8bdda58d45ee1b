"""What files and messages are made of that hold anything."""

from __future__ import annotations

from hypothesis import strategies as st

NUMBERS = st.integers() | st.floats() | st.text(max_size=8)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=20,
)


def mutated(data: bytes) -> st.SearchStrategy[bytes]:
    """This file with some of its bytes changed, cut out, or followed by others."""

    def change(changes: list[tuple[int, int, bytes]]) -> bytes:
        result = bytearray(data)
        for place, length, new in changes:
            start = place % (len(result) + 1)
            result[start : start + length] = new
        return bytes(result)

    change_of_one = st.tuples(st.integers(0, len(data)), st.integers(0, 12), st.binary(max_size=12))
    return st.lists(change_of_one, min_size=1, max_size=4).map(change)
