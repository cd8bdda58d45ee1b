"""All pictures, newest first: thumbnails or lines, what made the one under the cursor, and a filter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.timer import Timer

from flux2.errors import Flux2Error
from tui.keys.bindings import bindings
from tui.keys.keymap import BROWSER_KEYS, GALLERY_KEYS, Key
from tui.lines.picture_details import details
from tui.program import Options
from tui.screens import picture_desk
from tui.screens.picture_screen import PictureScreen
from tui.state.fuzzy import matcher
from tui.widgets.fields import Field
from tui.widgets.key_bar import KeyBar
from tui.widgets.pane import Heading
from tui.widgets.picture_browser import PictureBrowser
from tui.widgets.picture_view import PictureView
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from flux2.pictures.gallery import Picture

GRID_FROM = (100, 30)
"""Columns and rows from which there is room for a grid of thumbnails."""
_LOOK_EVERY = 10.0
"""Seconds between two looks into the folder, for pictures that others make; the worker's own are told at once."""
_DETAIL_PAUSE = 0.12
"""Seconds that the cursor must rest before the file of its picture is read."""


class GalleryScreen(PictureScreen):
    KEYS: ClassVar[tuple[Key, ...]] = GALLERY_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(GALLERY_KEYS)

    def __init__(self, options: Options) -> None:
        super().__init__()
        self._options = options
        self.heading = Heading("Gallery")
        self.browser: PictureBrowser
        self.filter = Field(placeholder="letters of prompt, model, quantization, seed or name", compact=True)
        self.thumbnail = PictureView("none" if options.graphics == "none" else "halfcell", id="gallery-thumbnail")
        self._words = Static(id="gallery-words")
        self._only_favourites = False
        self._detail_timer: Timer | None = None
        self._told: object = None
        """What the details were last made of."""

    def compose(self) -> ComposeResult:
        self.browser = PictureBrowser(self.app.library)
        yield self.heading
        yield self.filter
        with Horizontal():
            yield self.browser
            with VerticalScroll(id="gallery-details", can_focus=False):
                yield self.thumbnail
                yield self._words
        yield KeyBar()

    def on_mount(self) -> None:
        self.filter.display = False
        self._arrange(self.app.size.width, self.app.size.height)
        self.browser.focus()
        self.show_pictures()
        self._look()
        self.set_interval(_LOOK_EVERY, self._look)

    def on_resize(self, event: events.Resize) -> None:
        self._arrange(event.size.width, event.size.height)

    def _arrange(self, width: int, height: int) -> None:
        lines = width < GRID_FROM[0] or height < GRID_FROM[1] or self._options.graphics == "none"
        self.set_class(lines, "-lines")
        self.set_class(width >= 160, "-large")
        self.browser.show_lines(lines)

    @work(group="look")
    async def _look(self) -> None:
        if self.app.screen is self:
            await self.app.library.refresh()
            self.show_pictures()

    # --- showing -----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> Picture | None:
        return self.browser.current if self.is_mounted else None

    def show_pictures(self) -> None:
        if self.is_mounted:
            self.browser.show(self._filtered())

    def _filtered(self) -> Sequence[Picture]:
        pictures: Sequence[Picture] = self.app.library.pictures
        if self._only_favourites:
            pictures = [picture for picture in pictures if self.app.library.is_favourite(picture)]
        if self.filter.value.strip():
            found = matcher(self.filter.value)
            pictures = [picture for picture in pictures if found(_searched(picture))]
        return pictures

    def on_picture_browser_moved(self) -> None:
        self._show_heading()
        self.refresh_bindings()
        if self._detail_timer is not None:
            self._detail_timer.stop()
        self._detail_timer = self.set_timer(_DETAIL_PAUSE, self._show_details)

    def _show_heading(self) -> None:
        shown, known = len(self.browser.pictures), len(self.app.library.pictures)
        parts = [f"{self.browser.place + 1} of {shown}" if shown else "none"]
        if shown < known:
            parts.append(f"{known} in all")
        if self._only_favourites:
            parts.append("favourites")
        if self.browser.picked:
            parts.append(f"{len(self.browser.picked)} picked")
        if self.app.library.scanning:
            parts.append("looking")
        self.heading.detail = Content.assemble((", ".join(parts), "$muted"))

    @work(group="details", exclusive=True)
    async def _show_details(self) -> None:
        picture, library = self.current, self.app.library
        told = (picture, picture is not None and library.is_favourite(picture), self.browser.lines, library.scanning)
        if told == self._told:
            return
        self._told = told
        if picture is None:
            self.thumbnail.display = False
            self._words.update(self._nothing())
            return
        favourite = library.is_favourite(picture)
        self._words.update(details(picture, await library.metadata(picture), favourite=favourite))
        self.thumbnail.display = self.browser.lines and self._options.graphics != "none" and not picture.problem
        if self.thumbnail.display:
            try:
                self.thumbnail.update(await library.thumbnail(picture))
            except Flux2Error:
                self.thumbnail.update(None, "damaged")

    def _nothing(self) -> Content:
        if self.app.library.scanning:
            words = "Looking for pictures."
        elif self.app.library.pictures:
            words = "No picture is like that; esc shows all."
        else:
            words = "No pictures yet. Go back, type a prompt, and press ctrl+j."
        return Content.assemble((words, "$muted"))

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_open(self) -> None:
        from tui.screens.viewer import Viewer

        if (picture := self.current) is not None:
            self.app.push_screen(Viewer(picture, lambda: self.browser.pictures, self._options), self._come_back)

    def _come_back(self, _: None) -> None:
        if self.app.last_viewed is not None:
            self.browser.go_to(self.app.last_viewed)

    def on_picture_browser_opened(self) -> None:
        self.action_open()

    def action_filter(self) -> None:
        self.filter.display = True
        self.filter.focus()

    def on_input_changed(self) -> None:
        self.show_pictures()

    def on_input_submitted(self) -> None:
        self.filter.display = bool(self.filter.value.strip())
        self.browser.focus()

    def on_key(self, event: events.Key) -> None:
        if self.filter.has_focus and event.key == "down":
            event.stop()
            self.browser.focus()

    def action_only_favourites(self) -> None:
        self._only_favourites = not self._only_favourites
        self.show_pictures()

    def action_pick(self) -> None:
        self.browser.pick()
        self._show_heading()

    def action_compare(self) -> None:
        """The picked pictures with each other; where none are, the one at hand at every quantization."""
        picked = [picture for picture in self.app.library.pictures if picture.path in self.browser.picked]
        if len(picked) >= 2:
            picture_desk.compare_pictures(self.app, picked)
        else:
            super().action_compare()

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.app.push_screen(Help((*self.KEYS, *BROWSER_KEYS)))

    def action_back(self) -> None:
        """First out of what narrows the view, then out of the gallery."""
        if self.filter.display or self._only_favourites:
            self._only_favourites = False
            self.filter.value = ""
            self.filter.display = False
            self.browser.focus()
            self.show_pictures()
        elif self.browser.picked:
            self.browser.picked.clear()
            self.show_pictures()
        else:
            super().action_back()


def _searched(picture: Picture) -> str:
    """What a filter looks through."""
    request = picture.request
    made = f"{request.prompt} {request.model} {request.quantization} {request.seed} " if request else ""
    return made + picture.path.name
