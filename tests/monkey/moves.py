"""What a seed has in store: operations drawn by weight, so that most of them go to where few people have been."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from tests.monkey.files import HAPPENINGS
from tests.monkey.operations import REST, Operation, typed
from tui.keys.keymap import (
    BROWSER_KEYS,
    COMPARE_KEYS,
    GALLERY_KEYS,
    KEYS,
    MODELS_KEYS,
    PROMPT_KEYS,
    QUEUE_KEYS,
    VIEWER_KEYS,
    Key,
)

SMALLEST, LARGEST = (20, 5), (250, 80)
"""Columns and rows of a terminal."""
_SIZES = (
    SMALLEST,
    (60, 16),
    (80, 24),
    (80, 24),
    (100, 32),
    (120, 40),
    (120, 40),
    (132, 43),
    LARGEST,
    (28, 40),
    (250, 6),
)

SEQUENCES = {
    "escape": "\x1b",
    "enter": "\r",
    "tab": "\t",
    "shift+tab": "\x1b[Z",
    "space": " ",
    "backspace": "\x7f",
    "delete": "\x1b[3~",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "right": "\x1b[C",
    "left": "\x1b[D",
    "home": "\x1b[H",
    "end": "\x1b[F",
    "pageup": "\x1b[5~",
    "pagedown": "\x1b[6~",
    "f1": "\x1bOP",
    "f4": "\x1bOS",
    "f5": "\x1b[15~",
    "alt+enter": "\x1b\r",
    "slash": "/",
    "comma": ",",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "question_mark": "?",
    **{f"ctrl+{letter}": chr(ord(letter) - 96) for letter in "abcdefghijklmnopqrstuvwxyz"},
}
"""What a terminal sends for keys that are no letters."""
_TEXTS = (
    "a fox",
    "steps=4 pause=0.02 a fox",
    "steps=30 pause=0.05 a [fox]",
    "steps=4 fail [/b]",
    "steps=4 abort",
    "die=load how=kill [/]",
    "{red|blue|[/]} fox",
    "{a|b",
    "[bold]x[/]",
    "[/",
    "🦊👨‍👩‍👧‍👦 é",
    "640x480",
    "7",
    "-1",
    "99999999999999999999",
    "{pictures}/fox.png",
    "'{pictures}/a [fox].png'",
    "klein",
    "/nowhere/[/b].png",
    "x" * 600,
    "line\n" * 9,
    " ",
)


def _names(*tables: Sequence[Key]) -> tuple[str, ...]:
    """Keys of these tables, but for those that end the program."""
    names = (name for table in tables for key in table if key.action != "quit" for name in key.keys.split(","))
    return tuple(dict.fromkeys(names))


_ARROWS = ("up", "down", "left", "right", "home", "end", "pageup", "pagedown")
_DIALOG = (
    *_ARROWS,
    "enter",
    "enter",
    "tab",
    "space",
    "backspace",
    "slash",
    "[",
    "/",
    "a",
    "b",
    "1",
    "2",
    "r",
    "escape",
)
_DASHBOARD = _names(KEYS)
PLACES: dict[str, tuple[int, tuple[str, ...], tuple[str, ...]]] = {
    # how often, how one comes there from the dashboard, what is pressed there
    "dashboard": (8, ("escape",), _DASHBOARD),
    "prompt": (6, ("escape", "enter"), (*_names(PROMPT_KEYS), *_ARROWS, "ctrl+z", "ctrl+y", "enter", "ctrl+w", "x")),
    "runs": (10, ("escape", "g", "g", "g"), ("g", "g", "r", "x", "x", "h", "a", "1", "4", "u", "l", "f", "c")),
    "queue": (8, ("escape", "tab", "shift+tab", "down"), (*_names(QUEUE_KEYS), "tab", "up", "down", "g", "escape")),
    "queue editing": (
        6,
        ("escape", "tab", "shift+tab", "down", "enter"),
        ("x", "ctrl+j", "ctrl+j", "escape", "escape", "i", "n", "s", "enter", "delete", "plus", "minus"),
    ),
    "gallery": (9, ("escape", "3"), _names(GALLERY_KEYS, BROWSER_KEYS)),
    "favourites": (4, ("escape", "3", "f", "o"), (*_names(GALLERY_KEYS), "f", "o", "escape", "delete", "y")),
    "filter": (4, ("escape", "3", "slash"), (*_DIALOG, "f", "o", "x", "down")),
    "viewer": (9, ("escape", "3", "enter"), _names(VIEWER_KEYS)),
    "favourite alone": (
        4,
        ("escape", "3", "f", "o", "enter"),
        ("f", "delete", "y", "question_mark", "escape", "z", "c"),
    ),
    "trash": (3, ("escape", "3", "delete"), ("y", "n", "enter", "escape", "delete", "enter")),
    "compare": (6, ("escape", "3", "c"), _names(COMPARE_KEYS, BROWSER_KEYS)),
    "picked": (5, ("escape", "3", "space", "right", "space", "right", "space", "c"), _names(COMPARE_KEYS)),
    "compared run": (4, ("escape", "c"), _names(COMPARE_KEYS)),
    "model": (4, ("escape", "m"), _DIALOG),
    "quantization": (4, ("escape", "n"), _DIALOG),
    "size": (4, ("escape", "d"), _DIALOG),
    "steps": (5, ("escape", "i"), _DIALOG),
    "seed": (5, ("escape", "s"), _DIALOG),
    "theme": (4, ("escape", "t"), _DIALOG),
    "settings": (6, ("escape", "comma"), _DIALOG),
    "help": (4, ("escape", "question_mark"), ("up", "down", "j", "k", "pageup", "pagedown", "escape", "question_mark")),
    "palette": (5, ("escape", "ctrl+p"), (*_DIALOG, "t", "e", "m", "c")),
    "history": (4, ("escape", "ctrl+r"), (*_DIALOG, "f", "o", "x")),
    "settings of a picture": (4, ("escape", "e"), _DIALOG),
    "models": (6, ("escape", "5"), (*_names(MODELS_KEYS), *_ARROWS)),
    "unfinished": (7, ("escape", "b"), ("t", "s", "e", "d", "1", "2", "enter", "escape", "down", "[", "/")),
    "cancel": (4, ("escape", "x"), ("x", "y", "n", "escape", "enter")),
    "form": (4, ("escape", "tab", "tab"), (*_ARROWS, "enter", "tab", "escape")),
    "alone": (4, ("escape", "z"), ("z", "1", "2", "4", "tab", "w", "up", "down", "escape", "pageup", "pagedown")),
    "editor": (1, ("escape", "f4"), ("escape", "f4")),
}
_EVERYWHERE = (
    "escape",
    "escape",
    "tab",
    "shift+tab",
    "enter",
    "ctrl+l",
    "ctrl+p",
    "ctrl+c",
    "f5",
    "ctrl+z",
    "question_mark",
)
_WORKER = {
    "go": 30,
    "fail": 5,
    "fail_early": 2,
    "warn": 3,
    "kill": 4,
    "come_back": 4,
    "refuse": 2,
    "download": 4,
    "keep_unsaved": 2,
    "set_back": 1,
}
_WAITS = (0.0, 0.01, 0.02, 0.1, 0.3, 0.3, 1.0, 3.0, 8.0, 8.02, 20.0)


def sequence(key: str) -> str:
    """What the terminal sends for a key by its name in the key map."""
    return SEQUENCES.get(key, key)


class Draw:
    """One seed's operations, without end."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.size = chance.choice(_SIZES)
        self._moves: dict[Callable[[], list[Operation]], int] = {
            self._visit: 30,
            self._noise: 6,
            self._text: 6,
            self._click: 12,
            self._resize: 4,
            self._worker: 22,
            self._disk: 9,
            self._wait: 6,
            self._offered: 12,
            self._leave: 1,
        }

    def batch(self) -> list[Operation]:
        """A few moves, and a look at what has come of them."""
        moves = self.chance.choices(list(self._moves), list(self._moves.values()), k=self.chance.choice((1, 2, 2, 3)))
        return [*(operation for move in moves for operation in move()), REST]

    def _visit(self) -> list[Operation]:
        weights = [weight for weight, _, _ in PLACES.values()]
        _, way, keys = self.chance.choices(list(PLACES.values()), weights)[0]
        there = [self.chance.choice(keys) for _ in range(self.chance.choice((0, 1, 2, 3, 6)))]
        if self.chance.random() < 0.2:
            there.append(self.chance.choice(_EVERYWHERE))
        return self._written([*way, *there])

    def _noise(self) -> list[Operation]:
        keys = (*SEQUENCES, *"abcdefghijklmnoprstuvwxyz0123456789[]/{}", *_EVERYWHERE)
        return self._written([key for key in self.chance.choices(keys, k=4) if key not in ("ctrl+q", "q")])

    def _written(self, keys: Sequence[str]) -> list[Operation]:
        """In one write, as over a slow line, or in some."""
        texts = [sequence(key) for key in keys]
        how = self.chance.random()
        if how < 0.35:
            return [typed(*texts)]
        if how < 0.6:
            cut = self.chance.randint(0, len(texts))
            return [typed(*part) for part in (texts[:cut], texts[cut:]) if part]
        return [
            operation
            for text in texts
            for operation in (typed(text), Operation("wait", numbers=(self.chance.choice(_WAITS[:6]),)))
        ][:-1]

    def _text(self) -> list[Operation]:
        text = self.chance.choice(_TEXTS)
        if self.chance.random() < 0.6:
            text = f"\x1b[200~{text}\x1b[201~"
        first = self.chance.choice(("", "\x1b", "\x1b\r", "\x1b\x1b"))
        last = self.chance.choice(("", "\n", "\r", "\t"))
        return [typed(*(part for part in (first, text, last) if part))]

    def _click(self) -> list[Operation]:
        """One, two at the same place in one write, a wheel's turn, or a drag."""
        column, row = self._place()
        press = f"\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"
        how = self.chance.choice(("once", "once", "twice", "twice", "apart", "wheel", "move", "drag"))
        match how:
            case "twice":
                return [typed(press, press)]
            case "apart":
                return [typed(press), Operation("wait", numbers=(self.chance.choice(_WAITS[:6]),)), typed(press)]
            case "wheel":
                return [typed(*[f"\x1b[<{self.chance.choice((64, 65))};{column};{row}M"] * self.chance.choice((1, 5)))]
            case "move":
                return [typed(f"\x1b[<35;{column};{row}M")]
            case "drag":
                to = ";".join(map(str, self._place()))
                return [typed(f"\x1b[<0;{column};{row}M", f"\x1b[<32;{to}M", f"\x1b[<0;{to}m")]
            case _:
                return [typed(press)]

    def _place(self) -> tuple[int, int]:
        """Column and row from 1: anywhere, the footer, the middle where dialogs are, the corner of the notices."""
        columns, rows = self.size
        anywhere = self.chance.randint(1, columns), self.chance.randint(1, rows)
        middle = columns // 2 + self.chance.randint(-8, 8), rows // 2 + self.chance.randint(-6, 6)
        corner = columns - self.chance.randint(2, 30), rows - self.chance.randint(1, 5)
        column, row = self.chance.choice((anywhere, (anywhere[0], rows), middle, middle, corner))
        return max(1, min(columns, column)), max(1, min(rows, row))

    def _resize(self) -> list[Operation]:
        between = tuple(self.chance.randint(least, most) for least, most in zip(SMALLEST, LARGEST, strict=True))
        columns, rows = self.chance.choice((*_SIZES, between, between))
        self.size = columns, rows
        return [Operation("resize", numbers=self.size)]

    def _worker(self) -> list[Operation]:
        what = self.chance.choices(list(_WORKER), list(_WORKER.values()))[0]
        return [Operation("worker", (what,), (self.chance.choice((1, 1, 2, 5, 12)) if what == "go" else 1,))]

    def _disk(self) -> list[Operation]:
        return [Operation("disk", (self.chance.choice(list(HAPPENINGS)),), (self.chance.randrange(1000),))]

    def _wait(self) -> list[Operation]:
        return [Operation("wait", numbers=(self.chance.choice(_WAITS),))]

    def _offered(self) -> list[Operation]:
        return [REST, Operation("offered", numbers=(self.chance.randrange(20),))]

    def _leave(self) -> list[Operation]:
        return [typed(self.chance.choice(("\x11", "\x1bq")))]
