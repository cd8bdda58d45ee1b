"""Pictures to choose from: a grid of thumbnails a page at a time, or, where there is little room, lines of text.

Only thumbnails on the page are ever decoded, one after the other.
Moving within a page repaints marks and captions of the two pictures that it concerns; news of others repaint nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.events import Click, MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from flux2.errors import Flux2Error
from tui.keys.bindings import bindings
from tui.keys.keymap import BROWSER_KEYS
from tui.lines.text import fitted, room
from tui.terminal.inside_textual import Chosen
from tui.terminal.picture import fit, half_cells
from tui.terminal.probe import cell_pixels

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture
    from tui.state.library import PictureLibrary

CAPTION_ROWS = 2
_KEPT_THUMBNAILS = 120
_DAMAGED = "damaged"


@dataclass(frozen=True, slots=True)
class Grid:
    """Places of thumbnails, or of lines where `thumbnail` is None."""

    columns: int
    rows: int
    cell: tuple[int, int]
    """Columns and rows of the screen."""
    thumbnail: tuple[int, int] | None
    """Columns and rows of the screen."""

    @property
    def page(self) -> int:
        return self.columns * self.rows


def grid_for(size: tuple[int, int], *, lines: bool) -> Grid:
    """Grid of as many thumbnails as there is room for; larger ones on a large screen."""
    width, height = size
    if lines:
        return Grid(1, max(1, height), (width, 1), None)
    thumbnail = (28, 14) if width >= 140 else (20, 10)
    cell = thumbnail[0] + 2, thumbnail[1] + CAPTION_ROWS
    return Grid(max(1, width // cell[0]), max(1, height // cell[1]), cell, thumbnail)


class PictureColumn(Widget):
    """A column of the grid. Textual repaints a line from its widget's edge on: alone, a cell costs only itself."""

    def __init__(self, draw: Callable[[int, int], list[Segment]], column: int, width: int) -> None:
        super().__init__()
        self._draw, self._column = draw, column
        self.styles.width = width

    def render_line(self, y: int) -> Strip:
        return Strip(self._draw(self._column, y)).adjust_cell_length(self.size.width, self.rich_style)


class PictureBrowser(Horizontal, can_focus=True):
    BINDINGS: ClassVar[list[BindingType]] = bindings(BROWSER_KEYS)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "browser--plain",
        "browser--muted",
        "browser--cursor",
        "browser--mark",
    }

    class Moved(Message):
        """Another picture is under the cursor, or the same one has changed."""

    class Opened(Chosen):
        """The picture under the cursor was clicked."""

    def __init__(self, library: PictureLibrary) -> None:
        super().__init__()
        self._library = library
        self.lines = False
        """Lines of text instead of thumbnails."""
        self.pictures: Sequence[Picture] = ()
        self.picked: set[Path] = set()
        self._cursor = 0
        self._first = 0
        """The first picture of the page."""
        self._thumbnails: OrderedDict[tuple[object, ...], list[Strip] | str] = OrderedDict()
        self._drawn: list[tuple[object, ...]] = []
        """What the terminal shows, picture by picture."""
        self._loading = False
        self._columns: list[PictureColumn] = []
        self._arranged = (0, 0)

    # --- what is shown -----------------------------------------------------------------------------------------------

    @property
    def current(self) -> Picture | None:
        return self.pictures[self._cursor] if self._cursor < len(self.pictures) else None

    @property
    def place(self) -> int:
        """Number of the picture under the cursor, from 0."""
        return self._cursor

    @property
    def settled(self) -> bool:
        """Whether every thumbnail of the page is there."""
        return self.lines or not self._missing()

    def show(self, pictures: Sequence[Picture]) -> None:
        """Take over what there is to see; the cursor stays on its picture, or else at its place."""
        before = self.current
        self.pictures = pictures
        places = {picture.path: place for place, picture in enumerate(pictures)}
        place = places.get(before.path, self._cursor) if before else 0
        self._cursor = max(0, min(place, len(pictures) - 1))
        self._turn_page()
        self._repaint()
        self._load_soon()
        self.post_message(self.Moved())

    def go_to(self, path: Path) -> None:
        """Put the cursor on this picture, if it is there."""
        for place, picture in enumerate(self.pictures):
            if picture.path == path:
                self._go(place)
                return

    def pick(self) -> None:
        """Pick the picture under the cursor, or drop it again."""
        if (picture := self.current) is not None:
            self.picked ^= {picture.path}
            self._repaint()

    def show_lines(self, lines: bool) -> None:
        if lines != self.lines:
            self.lines = lines
            self._arrange()

    def on_resize(self) -> None:
        self._arrange()

    def _arrange(self) -> None:
        """Arrange the pictures in as many columns as there is room for."""
        if not self.size.area:
            return
        grid = self.grid
        if (grid.columns, grid.cell[0]) != self._arranged:
            self._arranged = grid.columns, grid.cell[0]
            self._columns = [PictureColumn(self._cell_line, column, grid.cell[0]) for column in range(grid.columns)]
            self.remove_children()
            self.mount(*self._columns)
        self._turn_page()
        self._begin_page()
        self._load_soon()

    # --- moving ------------------------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        return grid_for(self.size, lines=self.lines)

    def action_move(self, where: str) -> None:
        grid, last = self.grid, len(self.pictures) - 1
        step = {"left": -1, "right": 1, "up": -grid.columns, "down": grid.columns}
        if where in ("home", "end"):
            self._go(0 if where == "home" else last)
        elif where in ("pageup", "pagedown"):
            self._go(max(0, min(last, self._cursor + (grid.page if where == "pagedown" else -grid.page))))
        elif 0 <= (place := self._cursor + step[where]) <= last:
            self._go(place)
        elif where == "down" and self._cursor // grid.columns < last // grid.columns:
            self._go(last)  # the last row is shorter

    def on_click(self, event: Click) -> None:
        grid = self.grid
        column = (event.screen_x - self.region.x) // grid.cell[0]
        place = self._first + (event.screen_y - self.region.y) // grid.cell[1] * grid.columns + column
        if column < grid.columns and place < min(len(self.pictures), self._first + grid.page):
            if place == self._cursor:
                self.post_message(self.Opened())
            self._go(place)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        event.stop()
        self.action_move("down")

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        event.stop()
        self.action_move("up")

    def _go(self, place: int) -> None:
        if not 0 <= place < len(self.pictures) or place == self._cursor:
            return
        self._cursor = place
        self._turn_page()
        self._repaint()
        self._load_soon()
        self.post_message(self.Moved())

    def _turn_page(self) -> None:
        """Make the page the one with the cursor. Lines scroll, thumbnails turn pages."""
        page, before = self.grid.page, self._first
        if self.lines:
            self._first = max(self._cursor - page + 1, min(self._first, self._cursor))
            self._first = max(0, min(self._first, len(self.pictures) - page))
        else:
            self._first = self._cursor // page * page
        if self._first != before and not self.lines:
            self._begin_page()

    def _begin_page(self) -> None:
        """Paint all of it."""
        self._drawn = [self._shown(picture) for picture in self._page]
        for column in self._columns:
            column.refresh()

    @property
    def _page(self) -> Sequence[Picture]:
        return self.pictures[self._first : self._first + self.grid.page]

    def _shown(self, picture: Picture) -> tuple[object, ...]:
        """What a picture's cell depends on: first the thumbnail, then the rest."""
        is_favourite, is_picked = self._library.is_favourite(picture), picture.path in self.picked
        return self._key(picture), is_favourite, is_picked, picture is self.current

    def _repaint(self) -> None:
        """Paint what is no longer as the terminal shows it, and of a picture that stays only marks and captions."""
        shown = [self._shown(picture) for picture in self._page]
        nothing: tuple[object, ...] = (None,)
        for place, (before, now) in enumerate(zip_longest(self._drawn, shown, fillvalue=nothing)):
            if before[0] != now[0]:
                self._paint(place)
            elif before != now:
                self._paint(place, words_only=True)
        self._drawn = shown

    def _paint(self, place: int, *, words_only: bool = False) -> None:
        """One cell of the page, by its place on it."""
        grid = self.grid
        row, column = divmod(place, grid.columns)
        if column < len(self._columns):
            y, (width, height) = row * grid.cell[1], grid.cell
            words = Region(0, y, 1, height), Region(0, y + height - CAPTION_ROWS, width, CAPTION_ROWS)
            self._columns[column].refresh(*(words if words_only else [Region(0, y, width, height)]))

    # --- thumbnails --------------------------------------------------------------------------------------------------

    def _key(self, picture: Picture) -> tuple[object, ...]:
        return picture.path, picture.changed, picture.size, self.grid.thumbnail

    def _missing(self) -> list[Picture]:
        """Those of the page that are not drawn yet, from the cursor on and then from the page's beginning."""
        page = range(self._first, min(len(self.pictures), self._first + self.grid.page))
        order = sorted(page, key=lambda place: (place < self._cursor, place))
        return [picture for place in order if self._key(picture := self.pictures[place]) not in self._thumbnails]

    def _load_soon(self) -> None:
        if not self._loading and not self.lines and self.size.area and self._missing():
            self._loading = True
            self.run_worker(self._load(), exit_on_error=False)

    async def _load(self) -> None:
        """Draw what is missing on the page that is shown by then, one by one."""
        try:
            while not self.lines and (missing := self._missing()):
                picture, thumbnail = missing[0], self.grid.thumbnail
                if thumbnail is None:
                    return
                self._thumbnails[self._key(picture)] = await self._drawn_thumbnail(picture, thumbnail)
                while len(self._thumbnails) > max(_KEPT_THUMBNAILS, 2 * self.grid.page):
                    self._thumbnails.popitem(last=False)
                if picture in self._page:
                    self._paint(list(self._page).index(picture))
        finally:
            self._loading = False

    async def _drawn_thumbnail(self, picture: Picture, room: tuple[int, int]) -> list[Strip] | str:
        if picture.problem:
            return _DAMAGED
        try:
            image = await self._library.thumbnail(picture)
            return await asyncio.to_thread(half_cells, image, *fit(image.size, room, cell_pixels()))
        except (Flux2Error, OSError):
            return _DAMAGED

    # --- drawing -----------------------------------------------------------------------------------------------------

    def _cell_line(self, column: int, y: int) -> list[Segment]:
        grid = self.grid
        row, line = divmod(y, grid.cell[1])
        place = self._first + row * grid.columns + column
        if row < grid.rows and place < len(self.pictures):
            return self._line(place, line, grid)
        return [Segment(" " * grid.cell[0], self.get_component_rich_style("browser--plain"))]

    def _line(self, place: int, line: int, grid: Grid) -> list[Segment]:
        """A line of one picture's cell: a bar at its left where the cursor is, thumbnail or caption, a gap."""
        picture, is_current = self.pictures[place], place == self._cursor
        plain = self.get_component_rich_style("browser--plain")
        cursor = self.get_component_rich_style("browser--cursor")
        bar = Segment("▌" if is_current else " ", cursor)
        if grid.thumbnail is None:
            return [bar, *self._caption(picture, is_current, room(grid.cell[0], 1))]
        columns, rows = grid.thumbnail
        if line >= rows:
            body = self._caption(picture, is_current, columns, line - rows)
            return [bar, *body, Segment(" ", plain)]
        return [bar, *self._thumbnail_line(picture, line, columns, rows), Segment(" ", plain)]

    def _thumbnail_line(self, picture: Picture, line: int, columns: int, rows: int) -> list[Segment]:
        plain = self.get_component_rich_style("browser--plain")
        muted = self.get_component_rich_style("browser--muted")
        key = self._key(picture)
        drawn = self._thumbnails.get(key, "·")
        if isinstance(drawn, str):  # in place of a picture
            return [Segment((drawn if line == rows // 2 else "").center(columns), muted)]
        line -= (rows - len(drawn)) // 2
        if not 0 <= line < len(drawn):
            return [Segment(" " * columns, plain)]
        strip = drawn[line]
        left = (columns - strip.cell_length) // 2
        return [*Strip([Segment(" " * left, plain), *strip]).adjust_cell_length(columns, plain)]

    def _caption(self, picture: Picture, is_current: bool, width: int, line: int | None = None) -> list[Segment]:
        """In a grid: marks, quantization, model and seed; below that the prompt. Among lines, all in one."""
        main = self.get_component_rich_style("browser--cursor" if is_current else "browser--plain")
        muted = self.get_component_rich_style("browser--muted")
        mark: Style = self.get_component_rich_style("browser--mark")
        request = picture.request
        marks = ("●" if picture.path in self.picked else "") + ("★" if self._library.is_favourite(picture) else "")
        if line == 1:
            return [Segment(fitted(request.prompt if request else _words_for(picture), width), main)]
        what = f"{request.quantization} {request.model} {request.seed}" if request else picture.path.name
        if line == 0:
            marked = f"{marks} " if marks else ""
            return [Segment(marked, mark), Segment(fitted(what, room(width, len(marked), least=0)), muted)]
        level = request.quantization if request else ""
        left = room(width, 16, least=0)
        text = request.prompt if request else f"{picture.path.name}: {_words_for(picture)}"
        return [
            Segment(f"{marks:<2} ", mark),
            Segment(f"{_when(picture.created)} {level:<5}  ", muted),
            Segment(fitted(text, left), main),
        ]


def _words_for(picture: Picture) -> str:
    """What stands in place of a prompt."""
    return _DAMAGED if picture.problem else "no settings"


def _when(created: float) -> str:
    """In five cells: the time of today's pictures, the day of this year's, the year of older ones."""
    then, now = time.localtime(created), time.localtime()
    today, this_year = then[:3] == now[:3], then[0] == now[0]
    return time.strftime("%H:%M" if today else "%m-%d" if this_year else "%Y ", then)
