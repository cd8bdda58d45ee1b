"""What the picture is becoming, step by step, and the finished one."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

from textual.content import Content
from textual.geometry import Size
from textual.strip import Strip
from textual.widget import Widget

from tui.lines.text import room
from tui.state.session import Session, Topic
from tui.terminal.picture import SHARP, Source, fit, half_cells, in_whole_cells, open_picture
from tui.terminal.probe import cell_pixels
from tui.widgets.cell_picture import CellPicture
from tui.widgets.pane import Pane
from tui.widgets.plain import Static

PAUSE = {False: 0.25, True: 6.0}
"""Least seconds between two previews, by whether the terminal is remote: one is 25 KB and more."""
_PREVIEW_SHADES = 32


@dataclass(frozen=True, slots=True)
class _Drawing:
    source: Source
    size: Size
    """Cells of the room."""


class HalfCells(CellPicture):
    """A picture in half-block characters, scaled in a thread; a newer one replaces what is still waiting."""

    def __init__(self, pause: float) -> None:
        """
        Args:
            pause: least seconds between two pictures, so that a slow line isn't flooded.
        """
        super().__init__()
        self._pause = pause
        self._source: Source | None = None
        self._drawn: _Drawing | None = None
        self._drawn_at = 0.0
        self._cell = cell_pixels()
        self._drawing = False

    def update(self, source: Source | None) -> None:
        if source is None:
            self._source, self._drawn = None, None
            self.show_strips([])
        elif source is not self._source:
            self._source = source
            self._draw_soon()

    def on_resize(self) -> None:
        self._cell = cell_pixels()
        self._draw_soon()

    def _draw_soon(self) -> None:
        if not self._drawing and self._source is not None and self.size.area:
            self._drawing = True
            self.run_worker(self._draw(), exit_on_error=False)

    async def _draw(self) -> None:
        """Draw the latest picture at the latest size, until there is nothing newer."""
        try:
            while (wanted := self._wanted()) is not None and wanted != self._drawn:
                if self._is_too_soon(wanted):
                    await asyncio.sleep(0.05)
                    continue
                try:
                    strips = await asyncio.to_thread(_scaled, wanted, self._cell)
                except OSError:
                    return  # moved or deleted meanwhile: what was drawn before stays
                if self._wanted() is not None:
                    self._drawn, self._drawn_at = wanted, time.monotonic()
                    self.show_strips(strips)
        finally:
            self._drawing = False

    def _is_too_soon(self, wanted: _Drawing) -> bool:
        """Whether this would be the next preview within the pause; finished pictures and new sizes don't wait."""
        drawn = self._drawn
        is_preview = drawn is not None and isinstance(wanted.source, bytes) and drawn.size == wanted.size
        return is_preview and time.monotonic() - self._drawn_at < self._pause

    def _wanted(self) -> _Drawing | None:
        if self._source is None or not self.size.area:
            return None
        return _Drawing(self._source, self.size)


def _scaled(wanted: _Drawing, cell: tuple[int, int]) -> list[Strip]:
    image = open_picture(wanted.source)
    shades = _PREVIEW_SHADES if isinstance(wanted.source, bytes) else 256
    return half_cells(image, *fit(image.size, wanted.size, cell), shades=shades)


class PreviewPane(Pane, can_focus=True):
    """Half-cells while it forms; the finished picture in the terminal's own graphics where that was asked for."""

    TITLE = "Preview"
    HELP = "What the picture is becoming, estimated after every step; then the picture itself."
    TOPICS = Topic.PREVIEW | Topic.RUN

    def __init__(self, graphics: str, pause: float) -> None:
        self._graphics = graphics
        self._hint = Static("The picture appears\nhere, step by step.", id="preview-hint")
        self.cells = HalfCells(pause)
        self.cells.display = False
        self._sharp: Widget | None = None
        self._sharp_source: Source | None = None
        super().__init__(self._hint, self.cells, id="preview")

    def show(self, session: Session) -> None:
        source = _best(session)
        self.heading.title = "Picture" if session.picture else "Preview"
        self.heading.detail = self._detail(session)
        sharp = isinstance(source, Path) and self._graphics in SHARP
        self._hint.display = source is None or self._graphics == "none"
        self.cells.display = source is not None and not sharp and self._graphics != "none"
        if self._graphics == "none":
            self._hint.update(Content.assemble((f"{session.picture or 'Pictures are switched off.'}", "$muted")))
        elif sharp:
            self.run_worker(self._show_sharp(source), group="sharp", exclusive=True, exit_on_error=False)
        else:
            self._drop_sharp()
            self.cells.update(source)

    def _detail(self, session: Session) -> Content:
        run = session.run
        if session.picture and run is not None:
            return Content.assemble((f"seed {run.seed}", "$muted"))
        if session.preview is not None:
            return Content.assemble((f"step {session.preview.step} of {session.preview.steps}", "$muted"))
        return Content("")

    async def _show_sharp(self, source: Source | None) -> None:
        """Draw with the terminal's graphics protocol, scaled down first: the bytes go over the user's line."""
        if source is None or source == self._sharp_source:
            return
        there = self.content_size.width, room(self.content_size.height, 1)
        image = await asyncio.to_thread(lambda: in_whole_cells(open_picture(source), there, cell_pixels()))
        from tui.widgets.sharp_picture import SharpPicture

        self._drop_sharp()
        self._sharp, self._sharp_source = SharpPicture(self._graphics, image), source
        await self.mount(self._sharp)

    def _drop_sharp(self) -> None:
        if self._sharp is not None:
            self._sharp.remove()
            self._sharp, self._sharp_source = None, None


def _best(session: Session) -> Source | None:
    """The finished picture; failing that, and where its file has gone since, the last preview."""
    if session.picture is not None and session.picture.exists():
        return session.picture
    return session.preview.png if session.preview else None
