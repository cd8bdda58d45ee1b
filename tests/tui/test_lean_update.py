"""Over ssh the terminal comes to show what Textual painted, by far fewer bytes."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from rich.color import Color
from rich.console import Console
from rich.segment import ControlType, Segment
from rich.style import Style
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual.geometry import Region
from textual.strip import Strip

from tui.terminal.lean_update import FastLine, LeanUpdate, Line, OwedUpdate, Shown

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
                if character == "狐":
                    x += 1
                    self.cells[x, y] = "", ()
                x += 1
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


class Seconds:
    """A clock moved by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def a_picture(chance: random.Random, width: int, height: int) -> LayoutUpdate:
    """No two cells of which are alike, under a line of words."""

    def cell() -> Segment:
        colours = [Color.from_rgb(*(chance.randrange(256) for _ in range(3))) for _ in range(2)]
        return Segment("▀", Style(color=colours[0], bgcolor=colours[1]))

    words = Strip([Segment("fox.png".ljust(width), STYLES[1])])
    return LayoutUpdate(
        [[Strip([cell() for _ in range(width)])] for _ in range(height)] + [[words]], Region(0, 0, width, height + 1)
    )


def test_the_terminal_shows_the_same() -> None:
    chance, console = random.Random(4), Console(color_system="truecolor")
    plain, lean, shown = Terminal(), Terminal(), Shown(FastLine())
    for _ in range(300):
        update = random_update(chance, [random_strip(chance, WIDTH) for _ in range(HEIGHT)])
        plain.write(update.render_segments(console))
        lean.write(LeanUpdate(update, shown).render_segments(console))
        assert lean.cells == plain.cells


def test_over_a_slow_line_it_comes_to_show_the_same() -> None:
    chance, console, clock = random.Random(5), Console(color_system="truecolor"), Seconds()
    plain, lean, shown = Terminal(), Terminal(), Shown(Line(clock))
    behind = 0
    for _ in range(300):
        update = random_update(chance, [random_strip(chance, WIDTH) for _ in range(HEIGHT)])
        plain.write(update.render_segments(console))
        lean.write(LeanUpdate(update, shown).render_segments(console))
        clock.now += chance.choice((0.0, 0.02, 0.05))
        lean.write(OwedUpdate(shown).render_segments(console))
        behind += bool(shown.owed)
        if chance.random() < 0.1:
            while shown.owed:
                clock.now += 0.1
                lean.write(OwedUpdate(shown).render_segments(console))
            assert lean.cells == plain.cells
    assert behind > 50


def test_a_picture_is_sent_by_and_by_its_words_first_and_a_keys_answer_before_the_rest() -> None:
    chance, console, clock = random.Random(6), Console(color_system="truecolor"), Seconds()
    shown, sent = Shown(Line(clock)), []
    sent.append((0.0, LeanUpdate(a_picture(chance, 100, 20), shown).render_segments(console)))
    assert "fox.png" in sent[0][1]
    letter = Strip([Segment("x", Style())])
    while shown.owed:
        clock.now += 0.1
        sent.append((clock.now, OwedUpdate(shown).render_segments(console)))
        answer = LeanUpdate(LayoutUpdate([[letter]], Region(round(clock.now * 10) % 100, 30, 1, 1)), shown)
        sent.append((clock.now, answer.render_segments(console)))
        assert "x" in sent[-1][1]
        assert len(sent[-1][1].encode()) < 500
    assert sum(len(text.encode()) for _, text in sent) > 60_000
    for at, _ in sent:
        assert sum(len(text.encode()) for when, text in sent if at <= when < at + 1) <= 20_000


def test_what_is_owed_is_forgotten_where_something_else_takes_its_place() -> None:
    chance, console, clock = random.Random(7), Console(color_system="truecolor"), Seconds()
    shown = Shown(Line(clock))
    LeanUpdate(a_picture(chance, 100, 20), shown).render_segments(console)
    assert shown.owed
    blank = LayoutUpdate([[Strip([Segment(" " * 100, Style())])] for _ in range(21)], Region(0, 0, 100, 21))
    clock.now += 1
    LeanUpdate(blank, shown).render_segments(console)
    assert not shown.owed


def test_what_is_there_is_not_sent_again_until_it_may_be_gone() -> None:
    console, shown = Console(color_system="truecolor"), Shown(FastLine())
    lines = [random_strip(random.Random(1), WIDTH) for _ in range(HEIGHT)]
    update = LayoutUpdate([[line] for line in lines if "狐" not in line.text], Region(0, 0, WIDTH, HEIGHT))
    first = LeanUpdate(update, shown).render_segments(console)
    assert LeanUpdate(update, shown).render_segments(console) == ""
    shown.forget()
    assert LeanUpdate(update, shown).render_segments(console) == first


def test_a_picture_in_the_terminals_own_graphics_takes_nothing_of_what_is_owed_away() -> None:
    chance, console, clock = random.Random(8), Console(color_system="truecolor"), Seconds()
    shown = Shown(Line(clock))
    LeanUpdate(a_picture(chance, 100, 20), shown).render_segments(console)
    before = len(shown.owed)
    assert before > 1000
    sixels = Strip([Segment("\x1bPq~\x1b\\", None, [(ControlType.CURSOR_FORWARD, 0)])], 10)
    sent = LeanUpdate(LayoutUpdate([[sixels]], Region(0, 40, 10, 1)), shown).render_segments(console)
    assert "\x1bPq~" in sent
    assert len(shown.owed) == before
    words = LayoutUpdate([[Strip([Segment("fox.png".ljust(100), STYLES[1])])]], Region(0, 20, 100, 1))
    assert "fox.png" in LeanUpdate(words, shown).render_segments(console)  # a picture may lie over them


def test_a_character_and_its_accents_are_one_cell_and_not_sent_again() -> None:
    console, shown = Console(color_system="truecolor"), Shown(FastLine())
    places = "".join(f"\U0010eeee\u0305{chr(0x305 + column)}" for column in range(3))
    update = LayoutUpdate([[Strip([Segment(places, STYLES[4]), Segment("e\u0301x", STYLES[0])])]], Region(0, 0, 5, 1))
    sent = LeanUpdate(update, shown).render_segments(console)
    assert places in sent
    assert "e\u0301x" in sent
    assert LeanUpdate(update, shown).render_segments(console) == ""


def test_a_colour_that_stays_is_not_named_again() -> None:
    red, blue = Color.from_rgb(200, 0, 0), Color.from_rgb(0, 0, 200)
    strip = Strip([Segment("a", Style(color=red, bgcolor=blue)), Segment("b", Style(color=blue, bgcolor=blue))])
    update = LayoutUpdate([[strip]], Region(0, 0, 2, 1))
    sent = LeanUpdate(update, Shown()).render_segments(Console(color_system="truecolor"))
    assert sent == "\x1b[1;1H\x1b[38;2;200;0;0;48;2;0;0;200ma\x1b[38;2;0;0;200mb\x1b[0m"


def test_a_space_has_no_colour_of_its_own() -> None:
    red, blue = Style(color=Color.from_rgb(200, 0, 0)), Style(color=Color.from_rgb(0, 0, 200))
    console, shown = Console(color_system="truecolor"), Shown(FastLine())
    for style, text in ((red, "a  b"), (blue, "    ")):
        update = LayoutUpdate([[Strip([Segment(text, style)])]], Region(0, 0, 4, 1))
        sent = LeanUpdate(update, shown).render_segments(console)
    assert sent == "\x1b[1;1H \x1b[1;4H "
