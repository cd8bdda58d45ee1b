"""Stylesheets that are parsed once for each set of colours, not anew for every widget that brings one.

Textual's own memory of what it has parsed is each stylesheet's own: it makes a new one when the theme is set at the
start, and empties the old one's, so that all rules of the program and of its widgets were parsed twice before the first
frame.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

_THEMES = 8
"""Sets of colours whose rules are kept."""


@lru_cache(maxsize=_THEMES)
def _parsed(_: tuple[tuple[str, str], ...]) -> dict[tuple[Any, ...], list[RuleSet]]:
    """Rules by what they were parsed from, with these values for Textual's variables."""
    return {}


def parse_once() -> None:
    """Let Textual look first whether it has parsed the same with the same colours, from now on."""
    parse = Stylesheet._parse_rules

    def look_first(sheet: Stylesheet, *source: Any, **how: Any) -> list[RuleSet]:
        known = _parsed(tuple(sheet._variables.items()))
        key = (source, *how.values())
        if key not in known:
            known[key] = parse(sheet, *source, **how)
        return known[key]

    Stylesheet._parse_rules = look_first  # type: ignore[method-assign, assignment]
