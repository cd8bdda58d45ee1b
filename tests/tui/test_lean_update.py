"""Over ssh the terminal comes to show what Textual painted, by far fewer bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from rich.color import Color
from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui.lean_update import LeanUpdate, Shown

WIDTH, HEIGHT = 24, 6
STYLES = [
    Style(),
    Style(bold=True),
    Style(color="red"),
    Style(bgcolor="blue", underline=True),
    *(Style(color=Color.from_rgb(shade, 0, 9), bgcolor=Color.from_rgb(7, shade // 2, 0)) for shade in (10, 20, 30)),
]
TOKEN = re.compile(r"\x1b\[([\d;]*)([Hm])|(.)", re.DOTALL)


class Terminal:
    """Knows cursor, colours and single-cell characters; wide ones take a second cell."""

    def __init__(self) -> None:
        self.cells: dict[tuple[int, int], tuple[str, tuple[str, ...]]] = {}

    def write(self, data: str) -> None:
        x = y = 0
        attributes: set[str] = set()
        fore = back = ""
        for numbers, command, character in TOKEN.findall(data):
            if command == "H":
                y, x = (int(number) - 1 for number in numbers.split(";"))
            elif command == "m":
                codes = numbers.split(";")
                while codes:
                    code = codes.pop(0)
                    if code in ("38", "48"):
                        code = ";".join([code, *(codes.pop(0) for _ in range(4))])
                    if code == "0":
                        attributes, fore, back = set(), "", ""
                    elif code.startswith("3"):
                        fore = code
                    elif code.startswith("4") and code != "4":
                        back = code
                    else:
                        attributes.add(code)
            elif character != "\n":
                seen = fore if character != " " or attributes else ""  # of a space, only what lies behind it
                self.cells[x, y] = character, (*sorted(attributes), seen, back)
                x += 2 if character == "狐" else 1
        assert (attributes, fore, back) == (set(), "", ""), "what others write would be drawn in the last style"


def random_strip(chance: random.Random, width: int) -> Strip:
    segments: list[Segment] = []
    while (left := width - sum(segment.cell_length for segment in segments)) > 0:
        text = (
            "狐" if left > 1 and chance.random() < 0.05 else "".join(chance.choices("ab▀ ", k=chance.randint(1, left)))
        )
        segments.append(Segment(text, chance.choice([*STYLES, None])))
    return Strip(segments)


def random_update(chance: random.Random, lines: Sequence[Strip]) -> LayoutUpdate | ChopsUpdate:
    """All of these lines, or parts of them."""
    if chance.random() < 0.3:
        return LayoutUpdate([[line] for line in lines], Region(0, 0, WIDTH, HEIGHT))
    cut = chance.randint(1, WIDTH - 1)
    parts = [line.divide([cut, WIDTH]) for line in lines]
    chops = [{0: left, cut: right if chance.random() < 0.9 else None} for left, right in parts]
    spans = [(y, (x := chance.randint(0, WIDTH - 1)), chance.randint(x + 1, WIDTH)) for y in range(HEIGHT)]
    return ChopsUpdate(chops, spans, [[cut, WIDTH]] * HEIGHT)


def test_the_terminal_shows_the_same() -> None:
    chance, console = random.Random(4), Console(color_system="truecolor")
    plain, lean, shown = Terminal(), Terminal(), Shown()
    for _ in range(300):
        update = random_update(chance, [random_strip(chance, WIDTH) for _ in range(HEIGHT)])
        plain.write(update.render_segments(console))
        lean.write(LeanUpdate(update, shown).render_segments(console))
        assert lean.cells == plain.cells


def test_what_is_there_is_not_sent_again_until_it_may_be_gone() -> None:
    console, shown = Console(color_system="truecolor"), Shown()
    lines = [random_strip(random.Random(1), WIDTH) for _ in range(HEIGHT)]
    update = LayoutUpdate([[line] for line in lines if "狐" not in line.text], Region(0, 0, WIDTH, HEIGHT))
    first = LeanUpdate(update, shown).render_segments(console)
    assert LeanUpdate(update, shown).render_segments(console) == ""
    shown.forget()
    assert LeanUpdate(update, shown).render_segments(console) == first


def test_a_colour_that_stays_is_not_named_again() -> None:
    red, blue = Color.from_rgb(200, 0, 0), Color.from_rgb(0, 0, 200)
    strip = Strip([Segment("a", Style(color=red, bgcolor=blue)), Segment("b", Style(color=blue, bgcolor=blue))])
    update = LayoutUpdate([[strip]], Region(0, 0, 2, 1))
    sent = LeanUpdate(update, Shown()).render_segments(Console(color_system="truecolor"))
    assert sent == "\x1b[1;1H\x1b[38;2;200;0;0;48;2;0;0;200ma\x1b[38;2;0;0;200mb\x1b[0m"


def test_a_space_has_no_colour_of_its_own() -> None:
    red, blue = Style(color=Color.from_rgb(200, 0, 0)), Style(color=Color.from_rgb(0, 0, 200))
    console, shown = Console(color_system="truecolor"), Shown()
    for style, text in ((red, "a  b"), (blue, "    ")):
        update = LayoutUpdate([[Strip([Segment(text, style)])]], Region(0, 0, 4, 1))
        sent = LeanUpdate(update, shown).render_segments(console)
    assert sent == "\x1b[1;1H \x1b[1;4H "
