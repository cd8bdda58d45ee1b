"""Of what Textual repaints, only the cells that the terminal does not show yet, in as few bytes as say it.

Textual sends a widget's lines again when told that they changed, and a whole screen when one covers another; every
piece names all its colours and resets them. Over ssh that is most of the traffic. A picture is much all the same: it
goes out by and by, and a key's answer before the rest of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import NamedTuple

from rich.color import ColorSystem
from rich.console import Console, ConsoleOptions, RenderResult
from rich.style import Style
from textual._compositor import ChopsUpdate, CompositorUpdate, LayoutUpdate
from textual.strip import Strip

HALF = "▀"
"""What pictures are made of."""
_PLAIN = Style()
_Cell = tuple[str, Style]


class Line:
    """How much may be written to a slow line now. In no second more than `AT_ONCE` and `PER_SECOND` together."""

    AT_ONCE, PER_SECOND = 9_000, 10_500
    """Bytes."""
    KEPT = 4_000
    """Bytes of those at once that are left to what is new: the answer to a key is not to stand behind a picture."""

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
        self._room -= count


class Shown:
    """What the terminal shows, as far as that is known, and what it is yet to show."""

    def __init__(self, line: Line | None = None) -> None:
        self.line = line or Line()
        self.owed: dict[tuple[int, int], _Cell] = {}
        """Cells by column and row, in the order in which they are to be written."""
        self._rows: dict[int, dict[int, _Cell]] = {}

    def forget(self) -> None:
        """The terminal has been resized, or others have written to it: all will be painted anew."""
        self._rows.clear()
        self.owed.clear()

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
            if _is_simple(strip):
                for column, cell in enumerate(_cells(strip), x):
                    if row.get(column) != cell:
                        (pictures if cell[0] == HALF else words).append(((column, y), cell))
                continue
            for column in range(x, x + strip.cell_length):
                row.pop(column, None)
            pen.write_as_it_is(strip.render(console), x, y)
            if any(segment.control for segment in strip):  # a picture, over rows of which nothing is known now
                self._shown.forget()
        before = dict(owed)
        owed.clear()
        for cells in (words, before, pictures):
            owed.update(cells)
        return _write_owed(pen, self._shown, news=len(words))


class OwedUpdate(CompositorUpdate):
    """What the line takes now of all that is owed."""

    def __init__(self, shown: Shown) -> None:
        self._shown = shown

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from ()

    def render_segments(self, console: Console) -> str:
        pen = _Pen(console._color_system or ColorSystem.TRUECOLOR)
        return _write_owed(pen, self._shown)


def _write_owed(pen: _Pen, shown: Shown, news: int = 0) -> str:
    """As many cells as there is room for.

    Args:
        news: how many of them, from the first on, may take what is kept for these.
    """
    room = shown.line.room()
    while shown.owed and pen.written < room - (0 if news > 0 else shown.line.KEPT):
        news -= 1
        (x, y), cell = next(iter(shown.owed.items()))
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


def _is_simple(strip: Strip) -> bool:
    """Whether every character is one cell and there is nothing but text in colours."""
    return strip.cell_length == sum(len(segment.text) for segment in strip) and not any(
        segment.control or (segment.style and segment.style.link) for segment in strip
    )


def _cells(strip: Strip) -> Iterator[_Cell]:
    for text, style, _ in strip:
        style = style or _PLAIN
        for character in text:
            yield character, _of_a_space(style) if character == " " else style


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
    """As far as it can be seen."""
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
