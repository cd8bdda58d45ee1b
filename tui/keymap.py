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
    label: str
    """In the footer, "" to keep it out of there."""
    help: str
    """One line for the help page."""
    group: str
    show: str = ""
    """How the keys are written for people; derived from `keys` where empty."""
    anywhere: bool = False
    """Acts while a text field has the focus, too."""
    command: str = ""
    """Its name in the command palette, "" to keep it out of there."""

    @property
    def display(self) -> str:
        return self.show or self.keys.split(",")[0]


KEYS: tuple[Key, ...] = (
    Key(
        "run",
        "ctrl+j,alt+enter",
        "run",
        "run",
        "Make the picture; while one runs, queue it",
        "Run",
        "ctrl+j, alt+enter",
        command="Run",
    ),
    Key("run-letter", "g", "run", "", "The same, outside text fields", "Run"),
    Key(
        "cancel", "x", "cancel", "cancel", "Cancel the running picture; twice: without asking", "Run", command="Cancel"
    ),
    Key("prompt", "enter", "edit_prompt", "prompt", "Edit the prompt", "Choose", command="Edit prompt"),
    Key("model", "m", "model_menu", "model", "Choose the model", "Choose", command="Model"),
    Key("quantization", "n", "quantization_menu", "quant", "Choose the quantization", "Choose", command="Quantization"),
    Key("dimensions", "d", "size_menu", "size", "Choose or type the picture's size", "Choose", command="Size"),
    Key(
        "steps",
        "i",
        "sampling('steps')",
        "steps",
        "Set the number of steps and the guidance",
        "Choose",
        command="Steps and guidance",
    ),
    Key("seed", "s", "sampling('seed')", "seed", "Set the seed", "Choose", command="Seed"),
    Key("lock", "l", "seed_mode", "", "Seed: random, locked, one more each time", "Choose", command="Seed mode"),
    Key("dashboard", "1", "view('dashboard')", "", "All panes", "Look", command="All panes"),
    Key("preview", "2", "view('preview')", "", "The picture alone", "Look", command="Picture alone"),
    Key("log", "4", "view('log')", "", "The log alone", "Look", command="Log alone"),
    Key(
        "maximize",
        "z",
        "maximize_pane",
        "",
        "Fill the screen with the focused pane, or go back",
        "Look",
        command="Maximize pane",
    ),
    Key(
        "window",
        "w",
        "graph_window",
        "",
        "Memory graph: the whole run, or its last two minutes",
        "Look",
        command="Graph window",
    ),
    Key("theme", "t", "theme_menu", "theme", "Choose the theme", "Look", command="Theme"),
    Key(
        "restart",
        "ctrl+r",
        "restart_worker",
        "restart worker",
        "Restart the worker",
        "Program",
        command="Restart worker",
    ),
    Key("palette", "ctrl+p", "app.command_palette", "", "Every command by name", "Program", "ctrl+p", True),
    Key("help", "question_mark,f1", "help", "help", "This page", "Program", "?, f1", command="Keys"),
    Key(
        "quit",
        "ctrl+q",
        "quit",
        "quit",
        "Leave; a run goes on without the screen",
        "Program",
        "ctrl+q",
        True,
        command="Quit",
    ),
    Key("quit-letter", "q", "quit", "", "The same, outside text fields", "Program"),
)
"""The dashboard's own keys."""

PROMPT_KEYS: tuple[Key, ...] = (
    Key("leave", "escape", "leave", "commands", "Leave the field, so that single letters act", "Prompt", "esc"),
    Key("older", "up", "cursor_up", "", "On the first line: the prompt before", "Prompt", "↑"),
    Key("newer", "down", "cursor_down", "", "On the last line: the prompt after", "Prompt", "↓"),
)
"""What the prompt editor adds to a text area's own keys."""

QUEUE_KEYS: tuple[Key, ...] = (
    Key("remove", "delete,backspace", "remove", "remove", "Take the picture out of the queue", "Queue", "del"),
)

SETTINGS_KEYS: tuple[Key, ...] = (
    Key("select", "up,down", "", "", "Go to another setting", "Settings", "↑ ↓"),
    Key("change", "left,right", "", "", "Change it", "Settings", "← →"),
    Key("open", "enter", "", "", "Open its menu", "Settings", "enter"),
)
