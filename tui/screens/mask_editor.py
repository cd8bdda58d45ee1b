"""The mask of a picture that is changed, drawn over it by keys: shapes of cells, at any size of the terminal."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from flux2.errors import Flux2Error
from flux2.humanize import printable
from flux2.inputs.attachment import Attachment
from tui.keys.bindings import bindings
from tui.keys.keymap import MASK_KEYS, Key
from tui.program import Program
from tui.screens import picture_desk
from tui.state.mask_board import MaskBoard
from tui.terminal.inside_textual import UserKeysScreen
from tui.terminal.picture import fit, half_cells
from tui.terminal.probe import cell_pixels
from tui.widgets.cell_picture import CellPicture
from tui.widgets.key_bar import KeyBar
from tui.widgets.pane import Heading

if TYPE_CHECKING:
    from PIL import Image

    from flux2.canvas.mask_drawing import Mask

_SIDE = 512
"""Pixels of the picture that is drawn upon."""
_SHADES = 64
"""Shades of red, green and blue each: what looks alike need not be sent again."""


class MaskCells(CellPicture):
    """Tells its screen when there is other room."""

    def __init__(self, resized: Callable[[], None]) -> None:
        super().__init__(id="mask-cells")
        self._resized = resized

    def on_resize(self) -> None:
        self._resized()


class MaskEditor(UserKeysScreen):
    KEYS: ClassVar[tuple[Key, ...]] = MASK_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(MASK_KEYS)
    AUTO_FOCUS = ""
    app: Program

    def __init__(self, source: Attachment, mask: Attachment | None, take: Callable[[Attachment], None]) -> None:
        """
        Args:
            source: the picture.
            mask: what there is already.
            take: gets the mask, in the store, if one is taken.
        """
        super().__init__()
        self._source, self._first, self._take = source, mask, take
        self.board = MaskBoard(source.width, source.height)
        self.heading = Heading(f"Mask of {printable(str(source))}")
        self.cells = MaskCells(self._show)
        self.picture: Image.Image | None = None
        self.sizing = False
        """Whether arrows size the shape."""
        self.previewing = False

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.cells
        yield KeyBar()

    @work(group="begin")
    async def on_mount(self) -> None:
        from tui.state.previews import small_attachment

        try:
            if self._first is not None:
                mask = await asyncio.to_thread(_read_attachment, self._first)
                self.board = MaskBoard(self._source.width, self._source.height, mask)
            if self.app.options.graphics != "none":
                self.picture = await asyncio.to_thread(small_attachment, self._source.digest, _SIDE)
        except Flux2Error as error:
            self.app.say("warning", printable(str(error)))
        self._show()

    # --- showing -----------------------------------------------------------------------------------------------------

    @property
    def _room(self) -> tuple[int, int]:
        """Columns and rows of the picture on the screen."""
        room = max(1, self.cells.size.width), max(1, self.cells.size.height)
        return fit((self.board.width, self.board.height), room, cell_pixels())

    def _show(self) -> None:
        if not self.is_mounted or not self.cells.size.area:
            return
        from tui.lines.mask_picture import drawn

        columns, rows = self._room
        image = drawn(self.picture, self.board, (columns, 2 * rows), preview=self.previewing)
        self.cells.show_strips(half_cells(image, columns, rows, shades=_SHADES))
        shape = "ellipse" if self.board.is_ellipse else "rectangle"
        arrows = "size it" if self.sizing else "move it"
        said = "what is chequered is painted anew" if self.previewing else f"{shape}: arrows {arrows}"
        covered = self.board.covered
        share = f"{100 * covered:.0f} %" if covered >= 0.01 or not covered else "less than 1 %"
        self.heading.detail = Content.assemble((f"{said}   repaints {share}", "$muted"))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        match action:
            case "undo":
                return self.board.can_undo
            case "grow" | "feather" | "clear":
                return bool(self.board.mask.any())
            case _:
                return True

    # --- the shape ---------------------------------------------------------------------------------------------------

    @property
    def _cell(self) -> tuple[float, float]:
        """Pixels of the mask in a cell."""
        columns, rows = self._room
        return self.board.width / columns, self.board.height / rows

    def action_push(self, across: int, down: int) -> None:
        width, height = self._cell
        (self.board.size if self.sizing else self.board.move)(across * width, down * height)
        self._show()

    def action_arrows(self) -> None:
        self.sizing = not self.sizing
        self._show()

    def action_scale(self, by: int) -> None:
        width, height = self._cell
        self.board.scale(by * width, by * height)
        self._show()

    def action_shape(self) -> None:
        self.board.is_ellipse = not self.board.is_ellipse
        self._show()

    # --- the mask ----------------------------------------------------------------------------------------------------

    def action_paint(self) -> None:
        self.board.paint()
        self._show()

    def action_erase(self) -> None:
        self.board.paint(erase=True)
        self._show()

    def action_undo(self) -> None:
        self.board.undo()
        self._show()

    def action_invert(self) -> None:
        self.board.invert()
        self._show()

    def action_grow(self, by: int) -> None:
        self.board.grow(by)
        self._show()

    def action_feather(self) -> None:
        self.board.feather()
        self._show()

    def action_clear(self) -> None:
        self.board.clear()
        self._show()

    def action_preview(self) -> None:
        self.previewing = not self.previewing
        self._show()

    @work(group="read", exclusive=True)
    async def action_alpha(self) -> None:
        await self._read(lambda: _read_alpha(self._source))

    def action_load(self) -> None:
        from tui.screens.handing_in import pick_file

        pick_file(self.app, "Mask", lambda path: self.run_worker(self._read(lambda: _read_file(path)), group="read"))

    async def _read(self, read: Callable[[], Mask]) -> None:
        try:
            self.board.take(await asyncio.to_thread(read))
        except (Flux2Error, OSError) as error:
            self.app.say("warning", printable(str(error)))
        self._show()

    # --- leaving -----------------------------------------------------------------------------------------------------

    @work(group="take", exclusive=True)
    async def action_take(self) -> None:
        """The mask into the store; where nothing is painted yet, the shape is what is meant."""
        if not self.board.mask.any():
            self.board.paint()
            self._show()
        try:
            kept = await asyncio.to_thread(_keep, self.board.mask)
        except (Flux2Error, OSError) as error:
            self.app.say("warning", printable(str(error)))
            return
        self._take(kept)
        self.dismiss()

    @work(group="leave", exclusive=True)
    async def action_back(self) -> None:
        if await self._may_leave():
            self.dismiss()

    @work(group="leave", exclusive=True)
    async def action_dashboard(self) -> None:
        if await self._may_leave():
            picture_desk.open_dashboard(self.app)

    async def _may_leave(self) -> bool:
        from tui.screens.confirm import Confirm

        if not self.board.changed:
            return True
        question = Confirm(f"Leave without this mask? {self.app.keys_of('mask-take')} takes it.")
        answer = await self.app.push_screen_wait(question)
        return bool(answer)

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.app.push_screen(Help(self.KEYS))

    async def action_quit(self) -> None:
        await self.app.action_quit()


def _read_attachment(mask: Attachment) -> Mask:
    """
    Raises:
        RequestError: in one sentence if it is gone.
    """
    from flux2.canvas.masks import read_mask
    from flux2.pictures.attachments import opened_attachment

    with opened_attachment(mask) as image:
        return read_mask(image)


def _read_file(path: Path) -> Mask:
    """
    Raises:
        Flux2Error: in one sentence if it can't be read.
    """
    from flux2.canvas.masks import read_mask
    from flux2.pictures.handed_in import FORMATS
    from flux2.pictures.opening import opened_picture

    with opened_picture(path, FORMATS) as image:
        return read_mask(image)


def _read_alpha(source: Attachment) -> Mask:
    """What is transparent in the picture.

    Raises:
        RequestError: in one sentence if nothing is.
    """
    from flux2.canvas.masks import read_mask
    from flux2.errors import RequestError
    from flux2.pictures.attachments import opened_attachment

    with opened_attachment(source) as image:
        if not image.has_transparency_data or image.convert("RGBA").getchannel("A").getextrema()[0] == 255:
            raise RequestError(f"Nothing in {source} is transparent; draw the mask, or take one out of a file.")
        return read_mask(image)


def _keep(mask: Mask) -> Attachment:
    """The mask as a PNG in the store.

    Raises:
        RequestError: if it repaints nothing, or all.
        Flux2Error: if it can't be written.
    """
    from PIL import Image

    from flux2.canvas.masks import check_mask
    from flux2.pictures.attachments import keep

    check_mask(mask)
    file = io.BytesIO()
    Image.fromarray(mask).save(file, "PNG")
    height, width = mask.shape
    return keep(file.getvalue(), "mask.png", (width, height))
