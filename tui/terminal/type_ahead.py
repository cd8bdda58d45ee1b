"""Keys act in the order in which they were typed, be they all there at once, as over a slow line.

Textual alone hands each on as it comes: a letter goes straight to the field with the focus, while the backspace before
it still climbs to the program to learn what it is bound to; and a menu's letter misses the menu that is just opening.
Here each waits for the one before. What tells that a key has had its effect is a message that goes the same way, right
behind it, through the same queues.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from textual import events
from textual.message import Message
from textual.widget import Widget

from tui.terminal.inside_textual import InsideApp

_IN_TURN = (
    events.Key,
    events.Paste,
    events.MouseDown,
    events.MouseUp,
    events.AppFocus,
    events.AppBlur,
)
"""What waits for the key before: a click, and the terminal's window losing the focus, take the focus from the field."""
_LOOK_EVERY = 0.03
"""Seconds between looks after a key that others wait for."""
_PATIENCE = 1.0
"""Seconds after which the next key no longer waits."""


class _Behind(Message):
    """Follows a key to the program."""

    def __init__(self, key: _Underway) -> None:
        super().__init__()
        self.key = key


@dataclass(eq=False, slots=True)
class _Underway:
    target: Widget
    """Where the message that follows it was sent."""
    acted: bool = False
    """Its binding has run; what that has posted may still be on its way."""
    patience: float = _PATIENCE


class TypeAheadApp(InsideApp):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._typed: deque[events.Event] = deque()
        self._underway: _Underway | None = None

    async def on_event(self, event: events.Event) -> None:
        if not isinstance(event, _IN_TURN) or event.is_forwarded:
            await super().on_event(event)
        elif self._underway is None:
            await self._hand_on(event)
        else:
            self._typed.append(event)
            if len(self._typed) == 1:
                self._look_after(self._underway)

    async def _hand_on(self, event: events.Event) -> None:
        if isinstance(event, events.Paste):
            self.app_focus = True  # a picture dragged into a window that has not the focus; Textual does so at keys
        self._underway = key = _Underway(self._receiver)
        await super().on_event(event)
        self._follow(key, key.target)
        if self._typed:
            self._look_after(key)

    def _follow(self, key: _Underway, target: Widget) -> None:
        key.target = target
        target.post_message(_Behind(key))

    async def on__behind(self, message: _Behind) -> None:
        """Twice round for every key, so that what it has set off is done, too, and once more where the focus went."""
        key = message.key
        if key is not self._underway or not self.screen_stack:
            return
        if key.acted and key.target is self._receiver:
            await self._next()
        else:
            key.acted = True
            self._follow(key, self._receiver)

    @property
    def _receiver(self) -> Widget:
        return self.focused or self.screen

    async def _next(self) -> None:
        self._underway = None
        if self._typed:
            await self._hand_on(self._typed.popleft())

    def _look_after(self, key: _Underway) -> None:
        """The message is lost with a dialog that closes: send another where the focus is then."""

        async def look() -> None:
            if key is not self._underway or not self.screen_stack:
                return
            key.patience -= _LOOK_EVERY
            if key.patience < 0:
                await self._next()
                return
            if not key.target.is_running or key.target.screen is not self.screen:
                self._follow(key, self._receiver)
            self._look_after(key)

        self.set_timer(_LOOK_EVERY, look)
