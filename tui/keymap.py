"""Every key of the dashboard as data: the bindings, the footer and the help page are all made from this table.

Single letters act only while no text field has the focus; `esc` leaves a field. Keys that legacy terminals confuse
with others (ctrl+m, ctrl+i, ctrl+h) and the prefixes of tmux and screen (ctrl+b, ctrl+a) are not used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    """Stable name, by which a user's key map can change it."""
    keys: str
    """As Textual names them, comma-separated."""
    action: str
    group: str
    """Its heading on the help page."""
    command: str
    """Its name in the command palette, "" to keep it out of there."""
    help: str
    """One line for the help page."""
    label: str = ""
    """In the footer, "" to keep it out of there."""
    anywhere: bool = False
    """Acts before whatever has the focus sees it."""

    @property
    def display(self) -> str:
        """Its keys as they are written for people."""
        return ", ".join(key_name(key) for key in self.keys.split(","))


_WRITTEN = {"question_mark": "?", "escape": "esc", "delete": "del", "up": "↑", "down": "↓", "left": "←", "right": "→"}


def key_name(key: str) -> str:
    """A key as it is written for people."""
    return _WRITTEN.get(key, key)


KEYS: tuple[Key, ...] = (
    Key("run", "ctrl+j,alt+enter", "run", "Run", "Run", "Make the picture; while one runs, queue it", "run"),
    Key("run-letter", "g", "run", "Run", "", "The same, outside text fields"),
    Key("cancel", "x", "cancel", "Run", "Cancel", "Cancel the running picture; twice: without asking", "cancel"),
    Key("prompt", "enter", "edit_prompt", "Choose", "Edit prompt", "Edit the prompt", "prompt"),
    Key("model", "m", "model_menu", "Choose", "Model", "Choose the model", "model"),
    Key("quantization", "n", "quantization_menu", "Choose", "Quantization", "Choose the quantization", "quant"),
    Key("dimensions", "d", "size_menu", "Choose", "Size", "Choose or type the picture's size", "size"),
    Key("steps", "i", "sampling('steps')", "Choose", "Steps and guidance", "Set the steps and the guidance", "steps"),
    Key("seed", "s", "sampling('seed')", "Choose", "Seed", "Set the seed", "seed"),
    Key("lock", "l", "seed_mode", "Choose", "Seed mode", "Seed: random, locked, one more each time"),
    Key("dashboard", "1", "view('dashboard')", "Look", "All panes", "Show all panes"),
    Key("preview", "2", "view('preview')", "Look", "Picture alone", "Show the picture alone"),
    Key("log", "4", "view('log')", "Look", "Log alone", "Show the log alone"),
    Key("maximize", "z", "maximize_pane", "Look", "Maximize pane", "Fill the screen with the focused pane, or go back"),
    Key("window", "w", "graph_window", "Look", "Graph window", "Memory: the whole run, or its last two minutes"),
    Key("theme", "t", "theme_menu", "Look", "Theme", "Choose the theme", "theme"),
    Key("restart", "ctrl+r", "restart_worker", "Program", "Restart worker", "Restart a lost worker", "restart worker"),
    Key("palette", "ctrl+p", "app.command_palette", "Program", "", "Find every command by name", anywhere=True),
    Key("help", "question_mark,f1", "help", "Program", "Keys", "Show this page", "help"),
    Key("quit", "ctrl+q", "quit", "Program", "Quit", "Leave; a run goes on without the screen", "quit", anywhere=True),
    Key("quit-letter", "q", "quit", "Program", "", "The same, outside text fields"),
)
"""The dashboard's own keys."""

PROMPT_KEYS: tuple[Key, ...] = (
    Key("leave", "escape", "leave", "Prompt", "", "Leave the field, so that single letters act", "commands"),
    Key("older", "up", "cursor_up", "Prompt", "", "On the first line: the prompt before"),
    Key("newer", "down", "cursor_down", "Prompt", "", "On the last line: the prompt after"),
)
"""What the prompt editor adds to a text area's own keys."""

QUEUE_KEYS: tuple[Key, ...] = (
    Key("remove", "delete,backspace", "remove", "Queue", "", "Take the picture out of the queue", "remove"),
)

SETTINGS_KEYS: tuple[Key, ...] = (
    Key("select", "up,down", "", "Settings", "", "Go to another setting"),
    Key("change", "left,right", "", "Settings", "", "Change it"),
    Key("open", "enter", "", "Settings", "", "Open its menu"),
)
"""Handled by the form itself, for which arrow does which depends on its shape."""
