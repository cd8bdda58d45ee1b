"""One picture on the whole screen, as sharp as the terminal can, with its settings beside or below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content

from flux2.errors import Flux2Error
from flux2.humanize import printable
from tui.keys.bindings import bindings
from tui.keys.keymap import VIEWER_KEYS, Key
from tui.lines.picture_details import details
from tui.lines.text import room
from tui.program import Options
from tui.screens.picture_screen import PictureScreen
from tui.terminal.picture import fit
from tui.terminal.probe import cell_pixels
from tui.widgets.key_bar import KeyBar
from tui.widgets.pane import Heading
from tui.widgets.picture_view import PictureView
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture

BESIDE, BELOW = 36, 9
"""Columns, or rows, that the settings take."""


class Viewer(PictureScreen):
    KEYS: ClassVar[tuple[Key, ...]] = VIEWER_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(VIEWER_KEYS)

    def __init__(self, picture: Picture, pictures: Callable[[], Sequence[Picture]], options: Options) -> None:
        """
        Args:
            picture: the first to be shown.
            pictures: its neighbours, in order.
        """
        super().__init__()
        self._picture: Picture | None = picture
        self._pictures = pictures
        self._place = 0
        self.heading = Heading("Picture")
        self.view = PictureView(options.graphics)
        self._words = Static(id="viewer-words")
        self._with_settings = True

    def compose(self) -> ComposeResult:
        yield self.heading
        with Container(id="viewer-body"):
            yield self.view
            with VerticalScroll(id="viewer-details", can_focus=False):
                yield self._words
        yield KeyBar()

    def on_mount(self) -> None:
        self._go_to(self._picture)

    @property
    def current(self) -> Picture | None:
        return self._picture

    def show_pictures(self) -> None:
        """Stay on this picture, or where it was if it is gone."""
        if not self.is_mounted or self._picture is None:
            return
        pictures = self._pictures()
        here = next((it for it in pictures if it.path == self._picture.path), None)
        if here is None:
            self._go_to(pictures[min(self._place, len(pictures) - 1)] if pictures else None)
        else:
            self._go_to(here)

    def _go_to(self, picture: Picture | None) -> None:
        self._picture = picture
        if picture is None:
            self.dismiss()
            return
        self.app.last_viewed = picture.path
        pictures = list(self._pictures())
        self._place = pictures.index(picture) if picture in pictures else 0
        self.heading.title = printable(picture.path.name)
        self._show_place(len(pictures))
        self._arrange()
        self.refresh_bindings()
        self._load(picture)

    def _show_place(self, count: int) -> None:
        size = ", 1:1" if self.view.actual else ""
        self.heading.detail = Content.assemble((f"{self._place + 1} of {count}{size}", "$muted"))

    @work(group="picture", exclusive=True)
    async def _load(self, picture: Picture) -> None:
        library = self.app.library
        metadata = await library.metadata(picture)
        self._words.update(details(picture, metadata, favourite=library.is_favourite(picture)))
        try:
            self.view.update(await library.pixels(picture))
        except Flux2Error as error:
            self.view.update(None, printable(str(error)))

    def on_resize(self, event: events.Resize) -> None:
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int = 0, height: int = 0) -> None:
        """Put the settings where they leave the picture more room."""
        width, height = width or self.app.size.width, height or self.app.size.height
        picture = self._picture
        pixels = (picture.width, picture.height) if picture is not None and picture.width else (1, 1)
        cell = cell_pixels()
        beside = fit(pixels, (room(width, BESIDE), room(height, 2)), cell)
        below = fit(pixels, (width, room(height, 2, BELOW)), cell)
        self.set_class(below[0] * below[1] > beside[0] * beside[1], "-below")
        self.set_class(not self._with_settings, "-alone")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """The first picture has none before it, the last none after it; only at 1:1 there is more to move to."""
        match action, parameters:
            case ("across", (int(), *_)) if self.view.actual:
                return self.current is not None
            case ("across" | "neighbour", (int(by), *_)):
                return 0 <= self._place + by < len(self._pictures())
            case ("down", _):
                return self.view.actual
            case _:
                return super().check_action(action, parameters)

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_neighbour(self, by: int) -> None:
        pictures, place = self._pictures(), self._place + by
        if 0 <= place < len(pictures):
            self._go_to(pictures[place])

    def action_across(self, by: int) -> None:
        if self.view.actual:
            self.view.move(by, 0)
        else:
            self.action_neighbour(by)

    def action_down(self, by: int) -> None:
        if self.view.actual:
            self.view.move(0, by)

    def action_actual_size(self) -> None:
        self.view.show_actual(not self.view.actual)
        self._show_place(len(self._pictures()))
        self.refresh_bindings()

    def action_settings(self) -> None:
        self._with_settings = not self._with_settings
        self._arrange()
