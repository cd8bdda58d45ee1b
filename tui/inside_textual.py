"""What this program changes inside Textual, for want of a public way. All of it is here, but for the driver.

Each part rests on names that Textual may change. A version that has changed them costs the part, not the program:
`missing` says which, and a test insists that none is. (What is behind the terminal's input and output is
`tui.terminal_driver`; textual-image's insides are `tui.widgets.sharp_picture`'s.)
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any

from rich.console import RenderableType
from textual.app import App
from textual.binding import BindingsMap
from textual.dom import DOMNode
from textual.keys import key_to_character
from textual.screen import Screen

try:
    from textual._compositor import ChopsUpdate, LayoutUpdate

    from tui.lean_update import FastLine, LeanUpdate, Line, OwedUpdate, Shown
except ImportError:  # another version of Textual
    _UPDATES = False
else:
    _UPDATES = True

try:
    from textual._xterm_parser import XTermParser
    from textual.driver import Driver
    from textual.drivers.linux_driver import LinuxDriver

    from tui.terminal_driver import TerminalDriver
except ImportError:  # another version of Textual, or no terminals as Unix has them
    _DRIVER = False
else:
    _DRIVER = True

_PAY_EVERY = 0.1
"""Seconds between two portions of what a slow line could not take at once."""
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
    "faults as a sentence": _takes(App, "_handle_exception", "self", "error"),
    "a theme that is changed while it is worn": _takes(App, "_watch_theme", "self", "theme_name"),
}


def missing() -> list[str]:
    """The parts that this version of Textual does not bear."""
    return [name for name, there in _PARTS.items() if not there]


# --- keys ------------------------------------------------------------------------------------------------------------


class UserKeysScreen(Screen[None]):
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
                    if any(inner.check_consume_key(key, key_to_character(key)) for inner, _ in chain):
                        del own.key_to_bindings[key]
                chain.append((node, own))
            chosen = {key for _, own in chain for key, first in own.key_to_bindings.items() if first[0].id in keymap}
            for _, own in chain:
                for key in chosen & own.key_to_bindings.keys():
                    if own.key_to_bindings[key][0].id not in keymap:
                        del own.key_to_bindings[key]
            return chain


# --- painting --------------------------------------------------------------------------------------------------------


class InsideApp(App[None]):
    shown: Shown | None = None
    """What the terminal shows; None where it is sent all that Textual paints."""
    _paying = False

    def __init__(self, *args: Any, **options: Any) -> None:
        if _PARTS["the terminal is not trusted"]:
            options.setdefault("driver_class", TerminalDriver)
        super().__init__(*args, **options)

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
