"""The key map's table as Textual's bindings, and the user's keys among them."""

from __future__ import annotations

from collections.abc import Iterable

from textual.binding import Binding, BindingsMap, BindingType, Keymap
from textual.dom import DOMNode
from textual.keys import key_to_character

from tui.keymap import Key

BindingChain = list[tuple[DOMNode, BindingsMap]]
"""What has the focus, then what it lies in, each with its keys; the first that knows a key acts."""


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


def binding_chain(nodes: Iterable[DOMNode], keymap: Keymap) -> BindingChain:
    """The keys that act, from what has the focus outwards.

    As `textual.screen.Screen._binding_chain`, which however leaves out what a text field takes as text before it puts
    in the user's keys: one that was a letter and now is ctrl+g then does not act in the field, and one that is a letter
    now is said to. And a key of the user's own goes before what a field does with it by itself, as ctrl+x, its cut.
    """
    chain: BindingChain = []
    for node in nodes:
        own = node._bindings.copy()
        own.apply_keymap(keymap)
        for key in list(own.key_to_bindings):
            if any(inner.check_consume_key(key, key_to_character(key)) for inner, _ in chain):
                del own.key_to_bindings[key]
        chain.append((node, own))
    chosen = {key for _, own in chain for key, first in own.key_to_bindings.items() if first[0].id in keymap}
    for _, own in chain:
        for key in chosen & own.key_to_bindings.keys():
            if own.key_to_bindings[key][0].id not in keymap:
                del own.key_to_bindings[key]
    return chain
