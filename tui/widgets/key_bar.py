"""The bottom row: the keys that work now. One widget, repainted only when they change."""

from __future__ import annotations

from textual.content import Content
from textual.events import Click
from textual.screen import Screen
from textual.widget import Widget

from tui.keys.keymap import ALL_KEYS, PICTURES_IN_KEYS, PROMPT_KEYS, QUEUE_KEYS, key_name


class KeyBar(Widget):
    """Shows as many as fit, the most wanted first; `help` and `quit` keep their place at the end."""

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[tuple[str, str, str]] = []  # key as shown, label, key to simulate
        self._places: list[tuple[int, int, str]] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._update)

    def _update(self, screen: Screen[object]) -> None:
        first: dict[str, tuple[str, str, str]] = {}  # an action's first key stands for the others
        # In the key map's own order, whatever the user's keys are.
        table = (*PROMPT_KEYS, *QUEUE_KEYS, *PICTURES_IN_KEYS, *getattr(screen, "KEYS", ALL_KEYS))
        order = {key.id: place for place, key in enumerate(dict.fromkeys(table))}
        active = sorted(screen.active_bindings.values(), key=lambda item: order.get(item.binding.id or "", -1))
        for _, binding, enabled, _ in active:
            if binding.show and enabled:
                first.setdefault(binding.action, (key_name(binding.key), binding.description, binding.key))
        keys = list(first.values())
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def render(self) -> Content:
        last = [key for key in self._keys if key[1] in ("help", "quit")]
        shown = [key for key in self._keys if key not in last]
        while shown and self._width(shown + last) > self.size.width:
            shown.pop()
        parts: list[tuple[str, str]] = []
        self._places, at = [], 0
        for display, label, key in shown + last:
            self._places.append((at, at + len(display) + len(label) + 1, key))
            at += len(display) + len(label) + 3
            parts += [(display, "$accent"), (f" {label}  ", "$muted")]
        return Content.assemble(*parts)

    @staticmethod
    def _width(keys: list[tuple[str, str, str]]) -> int:
        return sum(len(display) + len(label) + 3 for display, label, _ in keys) - 2

    def on_click(self, event: Click) -> None:
        for start, end, key in self._places:
            if start <= event.x < end:
                self.app.simulate_key(key)
