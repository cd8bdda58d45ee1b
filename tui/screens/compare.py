"""Pictures side by side: one at every quantization, or any that were picked; by turns in one place; their difference.

What is missing is queued when the screen opens. Nothing of a comparison is stored: opened again, after a restart or
from another terminal, it is found from the pictures and the queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content

from flux2.errors import Flux2Error
from flux2.humanize import printable
from tui.keys.bindings import bindings
from tui.keys.keymap import COMPARE_KEYS, Key
from tui.program import Options
from tui.screens import picture_desk
from tui.screens.picture_screen import PictureScreen
from tui.state.comparison import ASKED, Comparison, Entry
from tui.state.session import Session, Topic
from tui.widgets.key_bar import KeyBar
from tui.widgets.pane import Heading
from tui.widgets.picture_view import PictureView
from tui.widgets.plain import Static

if TYPE_CHECKING:
    from PIL import Image

    from flux2.pictures.gallery import Picture

MOST = 4
"""Pictures beside each other."""
_LEAST_COLUMN = 20
"""Cells of a column, which its figures need. Where there is no room for all, the reference and the nearest to the
selected one are shown."""
_AMPLIFIED = (1.0, 64.0)
"""Least and most that a difference is multiplied by."""


class CompareColumn(Vertical):
    """One picture, what it is above and what it took below."""

    def __init__(self, entry: Entry, graphics: str) -> None:
        super().__init__()
        self._entry = entry
        self._title, self._figures = Static(), Static(classes="compare-figures")
        self.view = PictureView(graphics)
        self._shown: object = None

    def compose(self) -> ComposeResult:
        yield self._title
        yield self.view
        yield self._figures

    def show(self, *, selected: bool, favourite: bool) -> None:
        entry = self._entry
        style = "bold $accent" if selected else "bold"
        self._title.update(
            Content.assemble(("▌" if selected else " ", "$accent"), (printable(entry.label), style), " ★" * favourite)
        )
        self._figures.update(Content("\n").join([Content(line) for line in entry.figures()]))
        if entry.pixels is not None:
            if self._shown is not entry.pixels:
                self._shown = entry.pixels
                self.view.update(entry.pixels)
        else:
            self.view.update(None, printable(entry.state))


class CompareScreen(PictureScreen):
    KEYS: ClassVar[tuple[Key, ...]] = COMPARE_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(COMPARE_KEYS)

    def __init__(self, comparison: Comparison, options: Options) -> None:
        super().__init__()
        self.comparison, self._options = comparison, options
        self.heading = Heading("Compare")
        self.columns = [CompareColumn(entry, options.graphics) for entry in comparison.entries]
        self.alone = PictureView(options.graphics, id="compare-alone")
        self._selected = min(1, len(self.columns) - 1)
        self._mode = "columns"
        """Or "flicker" or "difference"."""
        self._reference_shown = False
        self._amplified = 8.0
        self._reading = asyncio.Lock()

    def compose(self) -> ComposeResult:
        yield self.heading
        with Horizontal(id="compare-columns"):
            yield from self.columns
        yield self.alone
        yield KeyBar()

    def on_mount(self) -> None:
        self._show_all()
        self._begin()

    def on_resize(self, event: events.Resize) -> None:
        self._share_out(event.size.width)

    @work(group="begin")
    async def _begin(self) -> None:
        """Find what is there, and queue what is not."""
        await self.app.library.refresh()
        await self._read_found()
        await self._queue_missing()

    # --- what is known -----------------------------------------------------------------------------------------------

    @property
    def entry(self) -> Entry:
        """The selected one."""
        return self.comparison.entries[self._selected]

    @property
    def current(self) -> Picture | None:
        return self.entry.picture

    @property
    def difference_ready(self) -> bool:
        ours, reference = self.entry.pixels, self.comparison.reference.pixels
        return ours is not None and reference is not None and ours is not reference and ours.size == reference.size

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        reference = self.comparison.reference
        match action:
            case "flicker":
                return None not in (self.entry.pixels, reference.pixels) and self.entry is not reference
            case "difference":
                return self.difference_ready
            case "amplify":
                return self._mode == "difference"
            case "select":
                return len(self.columns) > 1
            case "retry":
                return any(entry.is_missing and entry.request for entry in self.comparison.entries)
            case "sheet":
                return any(entry.pixels for entry in self.comparison.entries)
            case _:
                return super().check_action(action, parameters)

    def show_pictures(self) -> None:
        if self.is_mounted:
            for entry in self.comparison.entries:  # a picture may have been moved to the trash
                if entry.picture is not None and not entry.picture.path.exists():
                    entry.picture = entry.pixels = entry.metadata = entry.likeness = None
            self.run_worker(self._read_found(), group="read")

    def show(self, session: Session, topics: Topic) -> None:
        if topics & (Topic.RUN | Topic.QUEUE):
            self.comparison.follow(session)
            self._show_all()

    async def _read_found(self) -> None:
        """Read the pictures that are new, and measure them against the reference once that is there."""
        async with self._reading:
            self.comparison.find(self.app.library.pictures)
            for entry in self.comparison.entries:
                if entry.picture is not None and entry.pixels is None and not entry.picture.problem:
                    entry.metadata = await self.app.library.metadata(entry.picture)
                    try:
                        entry.pixels = await self.app.library.pixels(entry.picture)
                    except Flux2Error as error:
                        entry.state = str(error)
                    self._show_all()
                elif entry.read is not None and entry.pixels is None:
                    try:
                        entry.pixels = await asyncio.to_thread(entry.read)
                    except (Flux2Error, OSError) as error:
                        entry.state = str(error)
                    self._show_all()
            reference = self.comparison.reference.pixels
            for entry in self.comparison.entries[1:]:
                if reference is not None and entry.pixels is not None and entry.likeness is None:
                    await self._measure(entry, entry.pixels, reference)
            self._show_all()

    async def _measure(self, entry: Entry, ours: Image.Image, reference: Image.Image) -> None:
        from flux2.pictures.similarity import compare

        if ours.size == reference.size:
            entry.likeness = await asyncio.to_thread(compare, ours, reference)
            self._show_all()

    async def _queue_missing(self) -> None:
        self.comparison.follow(self.app.session)
        asked = 0
        for entry in self.comparison.entries:
            if entry.is_missing and entry.request is not None:
                run = await picture_desk.enqueue(self.app, entry.request)
                if run is None:
                    break  # the worker's refusal was shown; it would be the same for the next
                entry.run, entry.state = run, ASKED
                asked += 1
        self.comparison.follow(self.app.session)
        self._show_all()
        if asked:
            self.app.say("info", f"{asked} picture{'s' * (asked > 1)} queued for the comparison.")

    # --- showing -----------------------------------------------------------------------------------------------------

    def _show_all(self) -> None:
        if not self.is_mounted:
            return
        self._share_out(self.size.width)
        for place, column in enumerate(self.columns):
            picture = self.comparison.entries[place].picture
            favourite = picture is not None and self.app.library.is_favourite(picture)
            column.show(selected=place == self._selected, favourite=favourite)
        alone = self._mode != "columns"
        self.set_class(alone, "-alone")
        if alone:
            self._show_alone()
        self.heading.title = "Compare" if not alone else "Flicker" if self._mode == "flicker" else "Difference"
        self.heading.detail = Content.assemble((self._detail(), "$muted"))
        self.refresh_bindings()

    def _share_out(self, width: int) -> None:
        """Columns of one width to the cell, so that their pictures are of one size."""
        count = min(len(self.columns), max(2, width // _LEAST_COLUMN))
        first = min(max(1, self._selected - count // 2 + 1), len(self.columns) - count + 1)
        for place, column in enumerate(self.columns):
            column.display = place == 0 or first <= place < first + count - 1
            column.styles.width = width // count

    def _detail(self) -> str:
        reference = self.comparison.reference.label
        if self._mode == "flicker":
            label = reference if self._reference_shown else self.entry.label
            return f"{printable(label)} (space: the other of {printable(reference)} and {printable(self.entry.label)})"
        if self._mode == "difference":
            return f"{printable(self.entry.label)} from {printable(reference)}, ×{self._amplified:g}, + and - change it"
        title = printable(" ".join(self.comparison.title.split()))
        hidden = any(not column.display for column in self.columns)
        return f"{self._selected + 1} of {len(self.columns)}  {title}" if hidden else title

    def _show_alone(self) -> None:
        ours, reference = self.entry.pixels, self.comparison.reference.pixels
        if ours is None or reference is None or (self._mode == "difference" and not self.difference_ready):
            self._mode = "columns"
            self.remove_class("-alone")
        elif self._mode == "flicker":
            self.alone.update(reference if self._reference_shown else ours)
        else:
            self._show_difference(ours, reference, self._amplified)

    @work(group="difference", exclusive=True)
    async def _show_difference(self, ours: Image.Image, reference: Image.Image, amplified: float) -> None:
        from flux2.pictures.similarity import difference

        self.alone.update(await asyncio.to_thread(difference, ours, reference, amplified))

    # --- keys --------------------------------------------------------------------------------------------------------

    def action_select(self, by: int) -> None:
        self._selected = (self._selected + by) % len(self.columns)
        self._show_all()

    def action_flicker(self) -> None:
        """The selected one first, then the reference and it by turns."""
        self._reference_shown = self._mode == "flicker" and not self._reference_shown
        self._mode = "flicker"
        self._show_all()

    def action_difference(self) -> None:
        self._mode = "columns" if self._mode == "difference" else "difference"
        self._show_all()

    def action_amplify(self, by: float) -> None:
        self._amplified = min(_AMPLIFIED[1], max(_AMPLIFIED[0], self._amplified * by))
        self._show_all()

    def action_open(self) -> None:
        from tui.screens.viewer import Viewer

        if (picture := self.current) is not None:
            self.app.push_screen(Viewer(picture, self._pictures, self._options))

    def _pictures(self) -> list[Picture]:
        return [entry.picture for entry in self.comparison.entries if entry.picture is not None]

    @work(group="begin")
    async def action_retry(self) -> None:
        await self._queue_missing()

    @work(group="sheet", exclusive=True)
    async def action_sheet(self) -> None:
        from tui.state.comparison import save_sheet

        try:
            path = await asyncio.to_thread(save_sheet, self.comparison)
        except Flux2Error as error:
            self.app.say("error", printable(str(error)))
            return
        self.app.say("info", f"Saved {printable(str(path))}.")
        await self.app.library.take_up(path)

    def action_back(self) -> None:
        if self._mode != "columns":
            self._mode = "columns"
            self._show_all()
        else:
            super().action_back()
