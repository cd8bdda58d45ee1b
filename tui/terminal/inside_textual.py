"""What this program changes inside Textual, for want of a public way. All of it is here, but for the driver.

Each part rests on names that Textual may change. A version that has changed them costs the part, not the program:
`missing` says which, and a test insists that none is. (What is behind the terminal's input and output is
`tui.terminal.driver`, what is kept of stylesheets `tui.terminal.stylesheets`; textual-image's insides are
`tui.widgets.sharp_picture`'s.)
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from rich.console import RenderableType
from textual import events, message_pump
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.binding import BindingsMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.errors import NoWidget
from textual.keys import KEY_NAME_REPLACEMENTS, key_to_character
from textual.message import Message
from textual.message_pump import MessagePump
from textual.notifications import SeverityLevel
from textual.screen import Screen, ScreenResultType
from textual.timer import Timer
from textual.widgets import Input, OptionList
from textual.widgets._toast import ToastRack

from tui.terminal.stylesheets import parse_once

try:
    from textual._compositor import ChopsUpdate, LayoutUpdate

    from tui.terminal.lean_update import FastLine, LeanUpdate, Line, OwedUpdate, Shown
except ImportError:  # another version of Textual
    _UPDATES = False
else:
    _UPDATES = True

try:
    from textual._xterm_parser import XTermParser
    from textual.driver import Driver
    from textual.drivers.linux_driver import LinuxDriver

    from tui.terminal.driver import TerminalDriver
except ImportError:  # another version of Textual, or no terminals as Unix has them
    _DRIVER = False
else:
    _DRIVER = True

_PAY_EVERY = 0.1
"""Seconds between two portions of what a slow line could not take at once."""
SHORTEST = 0.001
"""Seconds of a timer, at least."""
BindingChain = list[tuple[DOMNode, BindingsMap]]
"""What has the focus, then what it lies in, each with its keys; the first that knows a key acts."""


def _takes(owner: object, name: str, *parameters: str) -> bool:
    """Whether there is a function of that name with just these parameters."""
    code = getattr(getattr(owner, name, None), "__code__", None)
    return code is not None and code.co_varnames[: code.co_argcount] == parameters


def _sets(owner: type, *names: str) -> bool:
    """Whether its instances are given attributes of these names when they are made."""
    return all(name in owner.__init__.__code__.co_names for name in names)  # type: ignore[misc]


_PARTS = {
    "the terminal is not trusted": _DRIVER
    and _takes(XTermParser, "_sequence_to_key_events", "self", "sequence", "alt")
    and _takes(XTermParser, "parse_mouse_code", "self", "code")
    and _takes(LinuxDriver, "_get_terminal_size", "self")
    and _sets(Driver, "_app", "_loop", "_auto_restart")
    and _sets(LinuxDriver, "fileno", "exit_event", "_writer_thread", "_file", "_must_signal_resume"),
    "the user's keys in text fields": isinstance(vars(Screen).get("_binding_chain"), property)
    and _takes(BindingsMap, "apply_keymap", "self", "keymap")
    and _sets(App, "_keymap")
    and _sets(DOMNode, "_bindings"),
    "little over a slow line": _UPDATES and _takes(App, "_display", "self", "screen", "renderable"),
    "no painting behind a screen": isinstance(vars(App).get("_background_screens"), property),
    "clicks on what has just gone": _takes(Screen, "_forward_event", "self", "event"),
    "choices that come late": _takes(MessagePump, "_on_message", "self", "message"),
    "timers that have run out": getattr(message_pump, "Timer", None) is Timer,
    "notices that are taken away": _takes(App, "_refresh_notifications", "self")
    and callable(getattr(ToastRack, "_toast_id", None)),
    "faults as a sentence": _takes(App, "_handle_exception", "self", "error"),
    "stylesheets that are parsed once": _sets(Stylesheet, "_variables")
    and _takes(Stylesheet, "_parse_rules", "self", "css", "read_from", "is_default_rules", "tie_breaker", "scope"),
    "a theme that is changed while it is worn": _takes(App, "_watch_theme", "self", "theme_name"),
}


def missing() -> list[str]:
    """The parts that this version of Textual does not bear."""
    return [name for name, there in _PARTS.items() if not there]


if _PARTS["stylesheets that are parsed once"]:
    parse_once()


# --- keys ------------------------------------------------------------------------------------------------------------


class Chosen(Message):
    """Something was chosen, with a click or a key, that opens or leaves a screen."""


_CHOICES = (Chosen, OptionList.OptionSelected, Input.Submitted)


class SteadyScreen(Screen[ScreenResultType]):
    """A screen that stands whatever comes too late for it: what a screen above it, or its own end, has overtaken.

    Two clicks in one write are two choices, of which the second finds the screen left, or another above it; and a
    screen may want to leave while another lies above.
    """

    _leaves = False
    _answer: ScreenResultType | None = None

    def dismiss(self, result: ScreenResultType | None = None) -> AwaitComplete:
        """Leave, once; from under another screen as soon as that is gone. Textual's own would take that one away."""
        if self._leaves:
            return AwaitComplete()
        self._leaves, self._answer = True, result
        return super().dismiss(result) if self.is_active else AwaitComplete()

    def on_screen_resume(self) -> None:
        if self._leaves and self.is_active:
            super().dismiss(self._answer)

    if _PARTS["choices that come late"]:

        async def _on_message(self, message: Message) -> None:
            """Hear of a choice only while there is one."""
            if not isinstance(message, _CHOICES) or (self.is_active and not self._leaves):
                await super()._on_message(message)

    if _PARTS["clicks on what has just gone"]:

        def _forward_event(self, event: events.Event) -> None:
            """Textual's own asks for the place of what is clicked, be it gone by then, as a notice after its click."""
            if not isinstance(event, events.MouseEvent) or self.app.mouse_captured or self._hits(event):
                super()._forward_event(event)

        def _hits(self, event: events.MouseEvent) -> bool:
            """Whether something is there; a terminal that has just shrunk may still tell of places outside."""
            try:
                return self.get_widget_at(event.x, event.y)[0].is_attached
            except NoWidget:
                return False


def character_of(key: str) -> str | None:
    """What a key writes, if anything. Textual's own does not know it of /, + and -, which it calls otherwise."""
    name = _NAMES_OF_SIGNS.get(key, key)
    return key_to_character(name.replace("hyphen_minus", "-"))


_NAMES_OF_SIGNS = {own: name for name, own in KEY_NAME_REPLACEMENTS.items()}


class UserKeysScreen(SteadyScreen[None]):
    """A screen with text fields in which a key of the user's own acts before what the field does with it by itself."""

    if _PARTS["the user's keys in text fields"]:

        @property
        def _binding_chain(self) -> BindingChain:
            """The keys that act, from what has the focus outwards.

            Textual's own leaves out what a text field takes as text before it puts in the user's keys: one that was a
            letter and now is ctrl+g then does not act in the field, and one that is a letter now is said to. And
            ctrl+x, a field's cut, would stay its own.
            """
            nodes = self.focused.ancestors_with_self if self.focused else [self, self.app]
            keymap = self.app._keymap
            chain: BindingChain = []
            for node in nodes:
                own = node._bindings.copy()
                own.apply_keymap(keymap)
                for key in list(own.key_to_bindings):
                    if any(inner.check_consume_key(key, character_of(key)) for inner, _ in chain):
                        del own.key_to_bindings[key]
                chain.append((node, own))
            chosen = {key for _, own in chain for key, first in own.key_to_bindings.items() if first[0].id in keymap}
            for _, own in chain:
                for key in chosen & own.key_to_bindings.keys():
                    if own.key_to_bindings[key][0].id not in keymap:
                        del own.key_to_bindings[key]
            return chain


# --- time ------------------------------------------------------------------------------------------------------------


class ShortestTimer(Timer):
    """A timer of some length. Textual's own, with none or less, computes for ever: a notice's that has just run out."""

    def __init__(self, event_target: Any, interval: float, **options: Any) -> None:
        super().__init__(event_target, max(SHORTEST, interval), **options)


# --- painting --------------------------------------------------------------------------------------------------------


class InsideApp(App[None]):
    shown: Shown | None = None
    """What the terminal shows; None where it is sent all that Textual paints."""
    _paying = False
    takes_input = True
    """Whether the screen is there, so that keys would reach what they are meant for."""

    def __init__(self, *args: Any, **options: Any) -> None:
        if _PARTS["timers that have run out"]:
            vars(message_pump)["Timer"] = ShortestTimer
        if _PARTS["the terminal is not trusted"]:
            options.setdefault("driver_class", TerminalDriver)
        super().__init__(*args, **options)

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,  # noqa: ARG002
    ) -> None:
        """Show a notice, its text as it is: `tui.widgets.plain` says why."""
        super().notify(message, title=title, severity=severity, timeout=timeout, markup=False)

    if _PARTS["notices that are taken away"]:

        def _refresh_notifications(self) -> None:
            """Textual's own leaves the empty holder of every notice that is taken away before its time."""
            super()._refresh_notifications()
            self.call_later(self._drop_holders)

        def _drop_holders(self) -> None:
            kept = {ToastRack._toast_id(notification) for notification in self._notifications}
            for rack in self.screen.children if self.screen_stack else ():
                for holder in rack.children if isinstance(rack, ToastRack) else ():
                    if holder.id not in kept:
                        holder.remove()

    def paint_little(self, *, slowly: bool) -> None:
        """Send nothing that the terminal shows already, every piece to its place; over a slow line pictures by and by.

        Textual's own way goes from row to row, which sixels upset: all that follows stands a row too low.
        """
        if _PARTS["little over a slow line"]:
            self.shown = Shown(Line() if slowly else FastLine())

    def failed(self, error: Exception) -> None:
        """A fault of ours has reached the top."""
        raise NotImplementedError

    def tell_terminal(self, sequence: str) -> None:
        """Write an escape sequence that leaves the screen as it is."""
        driver = getattr(self, "_driver", None)
        if sequence and driver is not None and not self.is_headless:
            driver.write(sequence)

    @property
    def has_lent_terminal(self) -> bool:
        """Whether an editor has the terminal for the time being."""
        driver = getattr(self, "_driver", None)
        return _DRIVER and isinstance(driver, TerminalDriver) and self.is_running and not driver.has_terminal

    def abandon_terminal(self, last_words: str) -> None:
        """Give the terminal back as it was, without waiting for anything, and write a last sentence there."""
        driver = getattr(self, "_driver", None)
        if _DRIVER and isinstance(driver, TerminalDriver):
            driver.abandon(last_words)
            return
        with suppress(Exception):
            if driver is not None:
                driver.stop_application_mode()
                driver.close()
            os.write(2, last_words.encode("utf-8", "replace"))

    def wear_anew(self, theme: str) -> None:
        """This theme, though it is worn already: its colours may be others."""
        if self.theme == theme and self.is_running and _PARTS["a theme that is changed while it is worn"]:
            self._watch_theme(theme)
        self.theme = theme

    if _PARTS["little over a slow line"]:

        def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
            if self.shown is not None and isinstance(renderable, (LayoutUpdate, ChopsUpdate)):
                renderable = LeanUpdate(renderable, self.shown)
            super()._display(screen, renderable)
            self._pay_soon()

        def _pay_soon(self) -> None:
            """Write more of what is owed once the line has room."""
            if self.shown is not None and self.shown.owed and not self._paying:
                self._paying = True
                self.set_timer(_PAY_EVERY, self._pay)

        def _pay(self) -> None:
            self._paying = False
            if self.shown is not None and self.screen_stack:
                super()._display(self.screen, OwedUpdate(self.shown))
                self._pay_soon()

    if _PARTS["no painting behind a screen"]:

        @property
        def _background_screens(self) -> list[Screen[Any]]:
            """None behind a screen that covers all: their news would repaint it, whole, over the line."""
            return [] if self.screen.styles.background.a == 1 else super()._background_screens

    if _PARTS["faults as a sentence"]:

        def _handle_exception(self, error: Exception) -> None:
            """A sentence instead of a traceback. Tests see the exception."""
            if self.is_headless:
                super()._handle_exception(error)
            else:
                self.failed(error)
