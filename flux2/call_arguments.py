"""Arguments as Python's users give them: numbers of any library's are taken, and what is none is said in a sentence."""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

from flux2.errors import RequestError


def whole_number(name: str, value: Any) -> int | None:
    """The argument; None where it is left to the model. Raises RequestError if it is no whole number."""
    if value is None:
        return None
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise RequestError(f"{name} is {value!r:.80}; give a whole number.")
    return operator.index(value)


def number(name: str, value: Any) -> float | None:
    """The argument; None where it is left to the model. Raises RequestError if it is no number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real):
        raise RequestError(f"{name} is {value!r:.80}; give a number.")
    return float(value)


def check_prompts(prompt: Any, negative_prompt: Any) -> None:
    """Raises RequestError if one of them is no text."""
    if isinstance(prompt, list | tuple):
        raise RequestError("A call makes one picture of one prompt; call the pipeline once for each.")
    for name, text in (("prompt", prompt), ("negative_prompt", "" if negative_prompt is None else negative_prompt)):
        if not isinstance(text, str):
            raise RequestError(f"The {name} is {text!r:.80}; give a text.")
