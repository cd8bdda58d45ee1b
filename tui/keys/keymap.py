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
    """Keys by Textual's names, comma-separated."""
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


WRITTEN = {
    "question_mark": "?",
    "slash": "/",
    "comma": ",",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "escape": "esc",
    "delete": "del",
    "up": "↑",
    "down": "↓",
    "left": "←",
    "right": "→",
}
"""Keys that are written otherwise than Textual names them."""


def key_name(key: str) -> str:
    """A key as it is written for people."""
    return WRITTEN.get(key, key)


_FAVOURITE = Key(
    "favourite", "f", "favourite", "Picture", "Favourite", "Mark the picture, or take its mark away", "mark"
)
_COMPARE = Key(
    "compare", "c", "compare", "Picture", "Compare", "The picture at every quantization, side by side", "compare"
)

_STRENGTHS = Key(
    "compare-strengths",
    "j",
    "compare_strengths",
    "Picture",
    "Compare strengths",
    "The picture without its LoRAs, at half and at full strength",
)

_USE_AS = Key("use-as", "v", "use_as", "Picture", "Use as", "Take it as a reference, change it, or as a mask", "use as")
_BEFORE = Key(
    "before", "k", "before", "Picture", "Before and after", "Beside the picture that it was made of", "before/after"
)

REDRAW = Key(
    "redraw",
    "ctrl+l",
    "app.redraw",
    "Program",
    "Redraw",
    "Draw the whole screen anew, without notices",
    anywhere=True,
)
"""Acts in dialogs, too."""

KEYS: tuple[Key, ...] = (
    Key("run", "ctrl+j,alt+enter", "run", "Run", "Run", "Make the picture; while one runs, queue it", "run"),
    Key("run-letter", "g", "run", "Run", "", "The same, outside text fields"),
    Key("cancel", "x", "cancel", "Run", "Cancel", "Cancel the running picture; twice: without asking", "cancel"),
    Key("reject", "r,ctrl+n", "reject", "Run", "Reject", "Cancel it and try the next seed at once", "reject"),
    Key("more-like-this", "a", "more", "Run", "More like this", "More of the picture shown, with other seeds", "more"),
    Key("hold", "h", "hold", "Run", "Stop after this", "Let nothing start after this picture, or go on", "hold"),
    Key("give-up", "escape", "give_up_edit", "Run", "", "Leave a queued picture as it was", "leave it"),
    Key("unfinished", "b", "unfinished", "Run", "Unfinished runs", "Take up a run that broke off", "unfinished"),
    Key("restart", "f5", "restart_worker", "Run", "Restart worker", "Replace a lost or old worker", "restart worker"),
    Key("unload", "u", "unload", "Run", "Free the model", "Free the memory of the model that is kept loaded"),
    Key("prompt", "enter", "edit_prompt", "Choose", "Edit prompt", "Edit the prompt", "prompt"),
    Key("model", "m", "model_menu", "Choose", "Model", "Choose the model", "model"),
    Key("quantization", "n", "quantization_menu", "Choose", "Quantization", "Choose the quantization", "quant"),
    Key("dimensions", "d", "size_menu", "Choose", "Size", "Choose or type the picture's size", "size"),
    Key("loras", "o", "lora_menu", "Choose", "LoRAs", "Choose LoRAs, and how strongly each acts"),
    Key("steps", "i", "sampling('steps')", "Choose", "Steps and guidance", "Set the steps and the guidance", "steps"),
    Key("seed", "s", "sampling('seed')", "Choose", "Seed", "Set the seed", "seed"),
    Key("lock", "l", "seed_mode", "Choose", "Seed mode", "Seed: random, locked, one more each time"),
    Key("editor", "f4", "edit_elsewhere", "Choose", "Prompt in $EDITOR", "Write the prompt in your own editor"),
    Key("history", "ctrl+r,slash", "search_history", "Choose", "Earlier prompts", "Find an earlier prompt", "history"),
    Key("picture-settings", "e", "picture_settings", "Choose", "Settings of a picture", "Take any picture's settings"),
    Key(
        "pictures-in",
        "v",
        "pictures_in",
        "Choose",
        "Pictures in",
        "Hand in references, or a picture to change: its mask, strength, extension",
        "pictures in",
    ),
    Key("dashboard", "1", "view('dashboard')", "Look", "All panes", "Show all panes"),
    Key("preview", "2", "view('preview')", "Look", "Picture alone", "Show the picture alone"),
    Key("gallery", "3", "gallery", "Look", "Gallery", "Look through all pictures", "gallery"),
    Key("log", "4", "view('log')", "Look", "Log alone", "Show the log alone"),
    Key("models", "5", "models", "Look", "Models", "Download, use and delete models", "models"),
    Key("next-pane", "tab", "app.focus_next", "Look", "Next pane", "To the next pane, and shift+tab to the one before"),
    Key("maximize", "z", "maximize_pane", "Look", "Maximize pane", "Fill the screen with the focused pane, or go back"),
    Key("window", "w", "graph_window", "Look", "Graph window", "Memory: the whole run, or its last two minutes"),
    Key("theme", "t", "theme_menu", "Look", "Theme", "Choose the theme", "theme"),
    _FAVOURITE,
    _COMPARE,
    _STRENGTHS,
    Key("preferences", "comma", "settings", "Program", "Settings", "Change the program's settings", "settings"),
    Key("palette", "ctrl+p", "app.command_palette", "Program", "", "Find every command by name", anywhere=True),
    Key("help", "question_mark,f1", "help", "Program", "Keys", "Show this page", "help"),
    REDRAW,
    Key("quit", "ctrl+q", "quit", "Program", "Quit", "Leave; a run goes on without the screen", "quit", anywhere=True),
    Key("quit-letter", "q", "quit", "Program", "", "The same, outside text fields"),
)
"""The dashboard's own keys."""

PROMPT_KEYS: tuple[Key, ...] = (
    Key("leave", "escape", "leave", "Prompt", "", "Leave the field, so that single letters act", "commands"),
    Key("older", "up", "cursor_up", "Prompt", "", "On the first line: the prompt before"),
    Key("newer", "down", "cursor_down", "Prompt", "", "On the last line: the prompt after"),
    Key("example", "right", "cursor_right", "Prompt", "", "In an empty field: the example"),
)
"""What the prompt editor adds to a text area's own keys."""

PANE_KEYS: tuple[Key, ...] = (
    Key("leave-pane", "escape", "leave_pane", "Look", "", "Leave the pane: no pane has the focus"),
)
"""Keys of every pane; the prompt has its own."""

QUEUE_KEYS: tuple[Key, ...] = (
    Key("sooner", "plus", "move(-1)", "Queue", "", "Make the picture sooner", "sooner"),
    Key("later", "minus", "move(1)", "Queue", "", "Make it later", "later"),
    Key("edit-queued", "enter", "", "Queue", "", "Change what it asks for"),
    Key("remove", "delete,backspace", "remove", "Queue", "", "Take the picture out of the queue", "remove"),
)

PICTURES_IN_KEYS: tuple[Key, ...] = (
    Key("picture-before", "left,up", "at(-1)", "Pictures in", "", "The picture to the left"),
    Key("picture-after", "right,down", "at(1)", "Pictures in", "", "The picture to the right"),
    Key("picture-sooner", "plus", "move(-1)", "Pictures in", "", "Give the reference the number before", "sooner"),
    Key("picture-later", "minus", "move(1)", "Pictures in", "", "Give it the number after", "later"),
    Key("picture-open", "enter", "open", "Pictures in", "", "Add others, change strength, mask and extension", "menu"),
    Key("picture-away", "delete,backspace", "remove", "Pictures in", "", "Take the picture away", "take away"),
)
"""What the pane of pictures that are handed in adds to the dashboard's own keys."""

SETTINGS_KEYS: tuple[Key, ...] = (
    Key("select", "up,down", "", "Settings", "", "Go to another setting"),
    Key("change", "left,right", "", "Settings", "", "Change it"),
    Key("open", "enter", "", "Settings", "", "Open its menu"),
)
"""Handled by the form itself, for which arrow does which depends on its shape."""

_BACK = Key("back", "escape,q", "back", "Go", "", "Back to where you came from", "back")
_LEAVE_PICTURES: tuple[Key, ...] = (
    _BACK,
    Key("pictures-dashboard", "1", "dashboard", "Go", "All panes", "Back to all panes"),
    Key("pictures-palette", "ctrl+p", "app.command_palette", "Go", "", "Find every command by name", anywhere=True),
    Key("pictures-help", "question_mark,f1", "help", "Go", "Keys", "Show this page", "help"),
    REDRAW,
    Key(
        "pictures-quit",
        "ctrl+q",
        "quit",
        "Go",
        "Quit",
        "Leave; a run goes on without the screen",
        "quit",
        anywhere=True,
    ),
)

_PICTURE: tuple[Key, ...] = (
    _COMPARE,
    _STRENGTHS,
    _FAVOURITE,
    _USE_AS,
    _BEFORE,
    Key("reuse", "e", "reuse", "Picture", "Use these settings", "Use its prompt and settings for the next one", "edit"),
    Key("more", "m", "more", "Picture", "More like this", "Make more like it, with other seeds", "more"),
    Key("trash", "delete,backspace", "trash", "Picture", "Move to trash", "Move the picture to the trash", "trash"),
    Key("copy-path", "y", "copy('path')", "Picture", "Copy path", "Copy its path"),
    Key("copy-prompt", "p", "copy('prompt')", "Picture", "Copy prompt", "Copy its prompt"),
    Key("copy-seed", "s", "copy('seed')", "Picture", "Copy seed", "Copy its seed"),
    Key("scp", "u", "scp", "Picture", "Fetch line", "Show and copy the scp line that fetches it to your machine"),
)
"""What can be done with the picture at hand, in all three picture screens."""

BROWSER_KEYS: tuple[Key, ...] = (
    Key("picture-left", "left", "move('left')", "Go", "", "The picture before"),
    Key("picture-right", "right", "move('right')", "Go", "", "The picture after"),
    Key("picture-up", "up", "move('up')", "Go", "", "A row up"),
    Key("picture-down", "down", "move('down')", "Go", "", "A row down"),
    Key("page-up", "pageup", "move('pageup')", "Go", "", "A page up"),
    Key("page-down", "pagedown", "move('pagedown')", "Go", "", "A page down"),
    Key("newest", "home", "move('home')", "Go", "", "The newest picture"),
    Key("oldest", "end", "move('end')", "Go", "", "The oldest picture"),
)
GALLERY_KEYS: tuple[Key, ...] = (
    Key("open-picture", "enter", "open", "Gallery", "Look at it", "Fill the screen with the picture", "view"),
    Key("filter", "slash", "filter", "Gallery", "Filter", "Only those with these letters in their settings", "filter"),
    Key(
        "only-favourites",
        "o",
        "only_favourites",
        "Gallery",
        "Only favourites",
        "Only favourites, or all",
        "only marked",
    ),
    Key("pick", "space", "pick", "Gallery", "Pick", "Pick pictures, which c then compares with each other", "pick"),
    *_PICTURE,
    *_LEAVE_PICTURES,
)
VIEWER_KEYS: tuple[Key, ...] = (
    Key("older-picture", "right", "across(1)", "View", "", "The older picture; at 1:1, move right", "older"),
    Key("newer-picture", "left", "across(-1)", "View", "", "The newer picture; at 1:1, move left", "newer"),
    Key("view-up", "up", "down(-1)", "View", "", "At 1:1, move up"),
    Key("view-down", "down", "down(1)", "View", "", "At 1:1, move down"),
    Key("view-older", "pagedown", "neighbour(1)", "View", "", "The older picture, at 1:1, too"),
    Key("view-newer", "pageup", "neighbour(-1)", "View", "", "The newer picture, at 1:1, too"),
    Key("actual-size", "z", "actual_size", "View", "Pixel for pixel", "Pixel for pixel (1:1), or all of it", "1:1"),
    Key("settings", "i", "settings", "View", "Settings", "Show its settings, or the picture alone", "settings"),
    *_PICTURE,
    *_LEAVE_PICTURES,
)
COMPARE_KEYS: tuple[Key, ...] = (
    Key("compare-left", "left", "select(-1)", "Compare", "", "The picture to the left"),
    Key("compare-right", "right", "select(1)", "Compare", "", "The picture to the right"),
    Key("compare-open", "enter", "open", "Compare", "", "Fill the screen with it", "view"),
    Key(
        "flicker",
        "space",
        "flicker",
        "Compare",
        "Flicker",
        "It and the reference by turns, in the same place",
        "flicker",
    ),
    Key("difference", "d", "difference", "Compare", "Difference", "What differs from the reference", "difference"),
    Key("stronger", "plus,equals_sign", "amplify(2)", "Compare", "", "Amplify the difference more"),
    Key("weaker", "minus", "amplify(0.5)", "Compare", "", "Amplify the difference less"),
    Key("sheet", "w", "sheet", "Compare", "Save sheet", "Save all of it as one PNG", "save sheet"),
    Key("queue-missing", "r", "retry", "Compare", "Queue what is missing", "Queue the pictures that are missing"),
    *(key for key in _PICTURE if key not in (_COMPARE, _STRENGTHS, _BEFORE)),
    *_LEAVE_PICTURES,
)
MASK_KEYS: tuple[Key, ...] = (
    Key("mask-take", "enter,ctrl+j", "take", "Mask", "Take it", "Take the mask as it is", "take it"),
    Key("mask-paint", "space", "paint", "Mask", "Paint the shape", "Repaint what lies in the shape", "paint"),
    Key("mask-erase", "delete,backspace,x", "erase", "Mask", "Erase the shape", "Keep what lies in it", "erase"),
    Key("mask-left", "left", "push(-1,0)", "Shape", "", "Move it to the left, or make it narrower"),
    Key("mask-right", "right", "push(1,0)", "Shape", "", "Move it to the right, or make it wider"),
    Key("mask-up", "up", "push(0,-1)", "Shape", "", "Move it up, or make it lower"),
    Key("mask-down", "down", "push(0,1)", "Shape", "", "Move it down, or make it higher"),
    Key("mask-arrows", "tab", "arrows", "Shape", "Move or size", "The arrows move the shape, or size it", "move/size"),
    Key("mask-larger", "plus,equals_sign", "scale(1)", "Shape", "", "Larger on all sides"),
    Key("mask-smaller", "minus", "scale(-1)", "Shape", "", "Smaller on all sides"),
    Key("mask-shape", "o", "shape", "Shape", "Rectangle or ellipse", "Rectangle, or ellipse", "oval"),
    Key("mask-undo", "u,ctrl+z", "undo", "Mask", "Undo", "Undo the last change of the mask", "undo"),
    Key("mask-invert", "i", "invert", "Mask", "Invert", "Keep what was repainted, and repaint what was kept", "invert"),
    Key("mask-grow", "g", "grow(1)", "Mask", "Grow", "Repaint a little more on all sides", "grow"),
    Key("mask-shrink", "s", "grow(-1)", "Mask", "Shrink", "Repaint a little less on all sides", "shrink"),
    Key("mask-feather", "f", "feather", "Mask", "Feather", "Make its edges softer", "feather"),
    Key("mask-preview", "p", "preview", "Mask", "Preview", "Show what stays of the picture, or the mask", "preview"),
    Key("mask-alpha", "a", "alpha", "Mask", "From alpha", "Repaint what is transparent in the picture", "alpha"),
    Key("mask-load", "l", "load", "Mask", "From a file", "Take the mask out of a file: white is repainted", "file"),
    Key("mask-clear", "c", "clear", "Mask", "Clear", "Keep all", "clear"),
    *_LEAVE_PICTURES,
)

MODELS_KEYS: tuple[Key, ...] = (
    Key("use-model", "enter", "use", "Models", "Use it", "Make the next picture with it", "use", anywhere=True),
    Key("download", "d", "download", "Models", "Download", "Download it, or go on where it stopped", "download"),
    Key("pause", "space,p", "pause", "Models", "Pause or go on", "Pause its download, or go on with it", "pause"),
    Key("cancel-download", "c", "cancel", "Models", "Cancel download", "End its download; what came is kept", "cancel"),
    Key("delete-model", "delete,backspace", "delete", "Models", "Delete", "Remove it from the disk", "delete"),
    *_LEAVE_PICTURES,
)

SCREENS: tuple[tuple[Key, ...], ...] = (
    (*KEYS, *QUEUE_KEYS),
    (*KEYS, *PICTURES_IN_KEYS),
    PANE_KEYS,
    (*KEYS, *PROMPT_KEYS),
    (*GALLERY_KEYS, *BROWSER_KEYS),
    VIEWER_KEYS,
    (*COMPARE_KEYS, *BROWSER_KEYS),
    MODELS_KEYS,
    MASK_KEYS,
)
"""Keys that may act at the same time."""
ALL_KEYS: tuple[Key, ...] = tuple(dict.fromkeys(key for screen in SCREENS for key in screen))
