"""The keys of a user's own: what the settings' table `[keys]` may say, and what is wrong with it."""

from __future__ import annotations

import unicodedata
from difflib import get_close_matches

from textual.keys import KEY_NAME_REPLACEMENTS, Keys

from flux2.settings import SettingsFile
from tui.keys.keymap import ALL_KEYS, KEYS, SCREENS, WRITTEN, key_name

_WRITING = ("left", "right", "up", "down", "home", "end", "backspace", "delete")
"""Keys without which nobody could write."""
_MODIFIERS = {"ctrl", "alt", "shift", "super", "hyper", "meta"}
_NAMED_KEYS = {key.value.split("+")[-1] for key in Keys} | set(KEY_NAME_REPLACEMENTS.values())

INDISTINCT = {
    "ctrl+m": "enter",
    "ctrl+i": "tab",
    "ctrl+h": "backspace",
    "ctrl+left_square_bracket": "escape",
}
"""Keys that most terminals send as others."""


def user_keys(file: SettingsFile) -> tuple[dict[str, str], list[str]]:
    """The keys of the settings' table by id, and a sentence with its line for each that can't be had.

    One that is refused leaves that key as it is. Two may not mean the same where both act.
    """
    chosen = {
        name: ",".join(_LONG_NAMES.get(key, key) for key in map(_lower, keys.split(",")))
        for name, keys in file.settings.keys.items()
    }
    complaints: list[str] = []
    while refused := {name: said for name, keys in chosen.items() if (said := _complaint(name, keys, chosen))}:
        for name, said in refused.items():
            complaints.append(f"settings.toml line {file.lines.get(f'keys.{name}', 1)}: {said}")
            del chosen[name]  # what it had before may be what another one wants: look again
    return chosen, complaints


def _complaint(name: str, keys: str, chosen: dict[str, str]) -> str:
    known = {key.id: key for key in ALL_KEYS}
    if name not in known:
        near = get_close_matches(name, known, 3)
        hint = f"; did you mean {' or '.join(near)}?" if near else "; the help page (?) names them all."
        return f"nothing is called {name!r}{hint}"
    if not known[name].action:
        return f"the keys of {name!r} can't be changed."
    for key in keys.split(","):
        if not is_key(key):
            return f"{key!r} is no key; write one as ctrl+x, f6, x or enter."
        if key in _WRITING and known[name] in KEYS:
            return f"{key_name(key)} is needed where one writes; choose another for {name!r}."
        if other := INDISTINCT.get(key):
            return f"{key} can't be told from {other} in most terminals; choose another for {name!r}."
        if taken := _taken_by(key, name, chosen):
            return f"{key_name(key)} already means {taken!r}; give that another key first, or choose another."
    return ""


def is_key(key: str) -> bool:
    """Whether a keyboard can send what is called that. Textual calls a sign by its Unicode name."""
    *modifiers, last = key.split("+")
    try:
        is_named = len(last) == 1 or last in _NAMED_KEYS or bool(unicodedata.lookup(last.replace("_", " ")))
    except KeyError:
        return False
    return is_named and _MODIFIERS.issuperset(modifiers)


def _lower(key: str) -> str:
    """`Ctrl+X` as Textual writes it; a single letter may be a capital one."""
    return key if len(key) == 1 else key.lower()


def _taken_by(key: str, name: str, chosen: dict[str, str]) -> str:
    for screen in SCREENS:
        if not any(other.id == name for other in screen):
            continue
        for other in screen:
            if other.id != name and key in chosen.get(other.id, other.keys).split(","):
                return other.id
    return ""


_LONG_NAMES = {written: name for name, written in WRITTEN.items()}
