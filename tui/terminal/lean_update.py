"""The cells of what Textual repaints that the terminal does not show yet, and only they, in as few bytes as say it.

Textual sends a widget's lines again when told that they changed, and a whole screen when one covers another; every
piece names all its colours and resets them. Over ssh that is most of the traffic. A picture is much all the same: it
goes out by and by, and a key's answer before the rest of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.cells import get_character_cell_size
from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

_PICTURES = "▀\U0010eeee"
"""What pictures are made of: half-cells, and the places of a picture of Kitty's protocol."""
_FIRST_ACCENT = "\u0300"
_PLAIN = Style()
_Cell = tuple[str, Style]


class Line:
    """How much may be written to a slow line now. In no second more than `AT_ONCE` and `PER_SECOND` together."""

    AT_ONCE, PER_SECOND = 9_000, 10_500
    """Bytes."""
    KEPT = 4_000
    """Bytes of those at once that are left to words: the answer to a key is not to stand behind a picture."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._room, self._at = float(self.AT_ONCE), clock()

    def room(self) -> int:
        """Bytes that may be written at once."""
        now = self._clock()
        self._room = min(self.AT_ONCE, self._room + (now - self._at) * self.PER_SECOND)
        self._at = now
        return int(self._room)

    def take(self, count: int) -> None:
        self._room = max(0.0, self._room - count)  # what can't be sent by and by is no reason to send nothing else


class FastLine(Line):
    """One that takes everything at once."""

    AT_ONCE = PER_SECOND = 10**9


class Shown:
    """What the terminal shows, as far as that is known, and what it is yet to show."""

    def __init__(self, line: Line | None = None) -> None:
        self.line = line or Line()
        self.owed: dict[tuple[int, int], _Cell] = {}
        """Cells by column and row, in the order in which they are to be written."""
        self._rows: dict[int, dict[int, _Cell]] = {}

    def forget(self) -> None:
        """The terminal has been resized, or others have written to it: all will be painted anew."""
        self.doubt()
        self.owed.clear()

    def doubt(self) -> None:
        """What is painted from now on is to be sent, whatever it is."""
        self._rows.clear()

    def row(self, y: int) -> dict[int, _Cell]:
        """Cells by column."""
        return self._rows.setdefault(y, {})


class LeanUpdate(CompositorUpdate):
    """Takes an update's place; `shown` is brought up to date when it is rendered.

    Words are written before pictures, and what the line does not take now is owed.
    """

    def __init__(self, update: LayoutUpdate | ChopsUpdate, shown: Shown) -> None:
        self._update, self._shown = update, shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        return self._update.__rich_console__(console, options)

    def render_segments(self, console: Console) -> str:
        pen = _Pen(console._color_system or ColorSystem.TRUECOLOR)
        owed = self._shown.owed
        words: list[tuple[tuple[int, int], _Cell]] = []
        pictures: list[tuple[tuple[int, int], _Cell]] = []
        for x, y, strip in _pieces(self._update):
            row = self._shown.row(y)
            if owed:
                for column in range(x, x + strip.cell_length):
                    owed.pop((column, y), None)
            if (cells := _cells(strip)) is not None:
                for column, cell in enumerate(cells, x):
                    if row.get(column) != cell:
                        (pictures if cell[0][0] in _PICTURES else words).append(((column, y), cell))
                continue
            for column in range(x, x + strip.cell_length):
                row.pop(column, None)
            pen.write_as_it_is(strip.render(console), x, y)
            if any(segment.control for segment in strip):  # a picture, over rows of which nothing is known now
                self._shown.doubt()
        before = dict(owed)
        owed.clear()
        for part in (words, before, pictures):
            owed.update(part)
        return _write_owed(pen, self._shown)


class OwedUpdate(CompositorUpdate):
    """What the line takes now of all that is owed."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from ()

    def render_segments(self, console: Console) -> str:
        pen = _Pen(console._color_system or ColorSystem.TRUECOLOR)
        return _write_owed(pen, self._shown)


def _write_owed(pen: _Pen, shown: Shown) -> str:
    """Bytes that write as many owed cells as there is room for; pictures leave some to words."""
    room = shown.line.room()
    while shown.owed:
        (x, y), cell = next(iter(shown.owed.items()))
        if pen.written >= room - (shown.line.KEPT if cell[0][0] in _PICTURES else 0):
            break
        del shown.owed[x, y]
        shown.row(y)[x] = cell
        pen.write(*cell, x, y)
    text = pen.finish()
    shown.line.take(pen.written)
    return text


def _pieces(update: LayoutUpdate | ChopsUpdate) -> Iterator[tuple[int, int, Strip]]:
    """Column, row and content of all that an update paints."""
    if isinstance(update, LayoutUpdate):
        for y, strips in enumerate(update.strips, update.region.y):
            x = update.region.x
            for strip in strips:
                yield x, y, strip
                x += strip.cell_length
        return
    for y, first, end in update.spans:
        for x_end, (x, chop) in zip(update.chop_ends[y], update.chops[y].items(), strict=False):
            if chop is not None and x <= end and x_end > first:
                yield x, y, chop if x_end <= end else chop.crop(0, end - x)


def _cells(strip: Strip) -> list[_Cell] | None:
    """Cell by cell, each with the accents that belong to it; None where there is more than characters of one cell."""
    cells: list[_Cell] = []
    for text, style, control in strip:
        style = style or _PLAIN
        if control or style.link:
            return None
        for character in text:
            width = 1 if character < _FIRST_ACCENT or character in _PICTURES else get_character_cell_size(character)
            if width == 1:
                cells.append((character, _of_a_space(style) if character == " " else style))
            elif width == 0 and cells:
                cells[-1] = (cells[-1][0] + character, cells[-1][1])
            else:
                return None
    return cells


class _Codes(NamedTuple):
    """A style as parameters of `ESC [ … m`."""

    attributes: str
    foreground: str
    background: str


@lru_cache(maxsize=16384)
def _codes(style: Style, system: ColorSystem) -> _Codes:
    fore, back = style.color, style.bgcolor
    return _Codes(
        Strip.render_ansi(style.without_color, system),
        ";".join(fore.downgrade(system).get_ansi_codes(foreground=True)) if fore else "",
        ";".join(back.downgrade(system).get_ansi_codes(foreground=False)) if back else "",
    )


_NOTHING_ON = _Codes("", "", "")


@lru_cache(maxsize=4096)
def _of_a_space(style: Style) -> Style:
    """Style of a space: the part of a style that can be seen there."""
    return style if _codes(style, ColorSystem.TRUECOLOR).attributes else Style(bgcolor=style.bgcolor)


class _Pen:
    """Collects what is written, and knows where the cursor is and what is on. It begins and ends plain."""

    def __init__(self, system: ColorSystem) -> None:
        self._system = system
        self._out: list[str] = []
        self._at: tuple[int, int] | None = None
        self._on = _NOTHING_ON
        self.written = 0
        """Bytes."""

    def write(self, character: str, style: Style, x: int, y: int) -> None:
        self._go_to(x, y)
        codes = _codes(style, self._system)
        if character == " " and not codes.attributes and not self._on.attributes:
            codes = codes._replace(foreground=self._on.foreground)
        self._take(codes)
        self._put(character)
        self._at = x + 1, y

    def write_as_it_is(self, sequence: str, x: int, y: int) -> None:
        self._go_to(x, y)
        self._take(_NOTHING_ON)
        self._put(sequence)
        self._at = None

    def finish(self) -> str:
        self._take(_NOTHING_ON)
        return "".join(self._out)

    def _put(self, text: str) -> None:
        self._out.append(text)
        self.written += len(text.encode())

    def _go_to(self, x: int, y: int) -> None:
        if self._at != (x, y):
            self._put(f"\x1b[{y + 1};{x + 1}H")
            self._at = x, y

    def _take(self, now: _Codes) -> None:
        before = self._on
        if before == now:
            return
        self._on = now
        dropped = before.attributes or (before.foreground and not now.foreground)
        if dropped or now.attributes or (before.background and not now.background):
            self._put(f"\x1b[{';'.join(filter(None, ('0', *now)))}m")
        else:
            new = (code for code, old in zip(now, before, strict=True) if code != old)
            self._put(f"\x1b[{';'.join(new)}m")
