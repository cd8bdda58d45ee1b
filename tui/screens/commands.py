"""Every key of the screen by its command's name, to be found by typing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from textual.actions import parse
from textual.app import SystemCommand
from textual.command import CommandList, CommandPalette
from textual.markup import escape
from textual.screen import Screen

from tui.program import Program
from tui.terminal.inside_textual import SteadyScreen


class Commands(CommandPalette, SteadyScreen[None]):
    """Textual's palette, whose styles and keys Textual looks for in the first of the two alone."""

    def _action_command_list(self, action: str) -> None:
        """Textual's own asks where lines are that are not laid out, in a list without room."""
        if self.query_one(CommandList).scrollable_content_region:
            super()._action_command_list(action)


def commands_of(app: Program, screen: Screen[Any]) -> Iterator[SystemCommand]:
    """What the screen's keys do now. Dialogs have none."""
    keys = getattr(screen, "KEYS", ())
    for key in keys:
        if not key.command:
            continue
        _, action, parameters = parse(key.action)
        if screen.check_action(action, parameters):
            says = escape(f"{key.help} ({app.keys_of(key.id)})")
            yield SystemCommand(key.command, says, lambda action=key.action: screen.run_action(action))
    if keys:
        yield SystemCommand("Screenshot", "Save the screen as an SVG file", app.deliver_screenshot)
