"""Wildcards in a prompt: of `a {red|blue|{dark |}green} fox` one alternative each, chosen by the run's seed.

Only braces with a bar between them are wildcards, so that prompts in JSON stay what they are. Alternatives may be
empty and may hold wildcards of their own. Where a prompt has wildcards, `{{` and `}}` outside of them are plain braces.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

MAX_DEPTH = 50
"""Braces within braces beyond which they are plain text."""


@dataclass(frozen=True, slots=True)
class _Wildcard:
    alternatives: tuple[_Text, ...]


_Text = tuple["str | _Wildcard", ...]
"""Pieces one after the other."""


def resolve(template: str, seed: int) -> str:
    """The prompt that this seed makes of a template; the same one every time.

    >>> resolve("a {red|blue} fox", 0), resolve("a {red|blue} fox", 3), resolve('{"json": {}}', 0)
    ('a blue fox', 'a red fox', '{"json": {}}')
    """
    if not has_wildcards(template):
        return template
    return _Chooser(seed).text(_read(template))


def has_wildcards(template: str) -> bool:
    return "|" in template and any(isinstance(piece, _Wildcard) for piece in _read(template))


def count(template: str) -> int:
    """How many prompts a template can become, repetitions counted."""
    return _count(_read(template))


def _count(text: _Text) -> int:
    product = 1
    for piece in text:
        if isinstance(piece, _Wildcard):
            product *= sum(_count(alternative) for alternative in piece.alternatives)
    return product


class _Chooser:
    """Draws numbers that depend on the seed and on nothing else, in every version of Python."""

    def __init__(self, seed: int) -> None:
        self._seed, self._drawn = seed, 0

    def text(self, text: _Text) -> str:
        return "".join(piece if isinstance(piece, str) else self._one_of(piece) for piece in text)

    def _one_of(self, wildcard: _Wildcard) -> str:
        digest = hashlib.sha256(f"{self._seed} {self._drawn}".encode()).digest()
        self._drawn += 1
        return self.text(wildcard.alternatives[int.from_bytes(digest[:8], "big") % len(wildcard.alternatives)])


def _read(source: str) -> _Text:
    """The template in pieces, in one pass: every open brace is a list of alternatives on the stack."""
    stack: list[list[list[str | _Wildcard]]] = [[[]]]
    place = 0
    while place < len(source):
        character, pair = source[place], source[place : place + 2]
        inside = len(stack) > 1
        if not inside and pair in ("{{", "}}"):
            stack[-1][-1].append(character)
            place += 1
        elif character == "{" and len(stack) <= MAX_DEPTH:
            stack.append([[]])
        elif character == "|" and inside:
            stack[-1].append([])
        elif character == "}" and inside:
            alternatives = stack.pop()
            if len(alternatives) > 1:
                stack[-1][-1].append(_Wildcard(tuple(map(tuple, alternatives))))
            else:
                stack[-1][-1] += ["{", *alternatives[0], "}"]
        else:
            stack[-1][-1].append(character)
        place += 1
    while len(stack) > 1:  # braces without an end are plain text
        first, *others = stack.pop()
        stack[-1][-1] += ["{", *first, *(piece for other in others for piece in ("|", *other))]
    return tuple(stack[0][0])
