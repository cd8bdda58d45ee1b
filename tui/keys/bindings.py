"""The key map's table as Textual's bindings."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingType

from tui.keys.keymap import Key


def bindings(keys: Iterable[Key]) -> list[BindingType]:
    """One binding per key, with the stable id by which a user's key map can change it."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label or key.help,
            show=bool(key.label),
            tooltip=key.help,
            id=key.id,
            priority=key.anywhere,
        )
        for key in keys
        if key.action
    ]
