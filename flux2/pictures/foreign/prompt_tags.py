"""Commands inside prompts, such as `<lora:fur:0.8>` and `embedding:name`, told apart from the words around them.

Tags of AUTOMATIC1111's family (lora, lyco, hypernet) and of SwarmUI's.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_LORAS = ("lora", "lyco", "locon", "hypernet")
_COMMANDS = {  # SwarmUI's
    *("segment", "object", "region", "clear", "random", "wildcard", "wc", "alternate", "alt", "fromto", "preset", "p"),
    *("repeat", "embed", "embedding", "setvar", "var", "setmacro", "macro", "trigger", "break", "comment", "extend"),
    *("video", "videoswap", "base", "refiner", "edit", "param", "lora-dir", "wcard", "ratio", "mask", "controlnet"),
}
_LONGEST = 200
"""Characters of a tag."""
_EMBEDDING = re.compile(r"\bembedding:[^\s,():<>]{1,200}(?::[\d.]{1,8})?")


class WithoutTags(NamedTuple):
    """A prompt's words, and what else stood in it."""

    text: str
    loras: list[tuple[str, str]]
    """Name and weight, "" where none is given."""
    others: list[str]
    """Other tags as they stood."""


def without_tags(prompt: str) -> WithoutTags:
    """The words of a prompt without the tags in it; takes time in proportion to its length."""
    kept: list[str] = []
    loras: list[tuple[str, str]] = []
    others: list[str] = []
    place = 0
    while (start := prompt.find("<", place)) >= 0:
        end = prompt.find(">", start, start + _LONGEST)
        name, _, rest = prompt[start + 1 : max(end, start)].partition(":")
        name = name.strip().lower().partition("[")[0]
        if end < 0 or "<" in rest or not (name in _COMMANDS or (name in _LORAS and rest)):
            kept.append(prompt[place : start + 1])
            place = start + 1
            continue
        if name in _LORAS:
            lora, _, weight = rest.partition(":")
            loras.append((lora.strip(), weight.partition(":")[0].strip()))
        else:
            others.append(prompt[start : end + 1])
        kept.append(prompt[place:start])
        place = end + 1
    text = _joined([*kept, prompt[place:]]) if place else prompt
    others += _EMBEDDING.findall(text)
    return WithoutTags(_EMBEDDING.sub("", text).strip(" ,\t\r\n") if others else text.strip(), loras, others)


def _joined(parts: list[str]) -> str:
    """Text from which tags are gone: without the blank or the comma that each had for itself."""
    joined: list[str] = []
    for part in parts:
        before = joined[-1] if joined else ""
        if before.rstrip(" ").endswith(",") and part.lstrip(" ").startswith(","):
            part = part.lstrip(" ")[1:]
        if before.endswith(" ") and part.startswith(" "):
            part = part[1:]
        elif before.endswith(" ") and part.startswith(","):
            joined[-1] = before.rstrip(" ")
        joined.append(part)
    return "".join(joined)
