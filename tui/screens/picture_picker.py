"""A picture from the disk: folders and pictures at the left, a look at the one under the cursor at the right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input

from flux2.errors import Flux2Error
from flux2.humanize import printable
from tui.program import Program
from tui.screens.dialog import Dialog
from tui.state.previews import Listing, list_folder, small_picture
from tui.terminal.pasted_paths import absent, picture_path
from tui.widgets.fields import Field
from tui.widgets.picture_view import PictureView
from tui.widgets.plain import Label, Option, OptionList

_SIDE = 160
"""Pixels of the preview."""
_PAUSE = 0.1
"""Seconds that the cursor must rest before the file of its picture is read."""


class _Entry(Option):
    def __init__(self, path: Path, name: str, *, is_folder: bool) -> None:
        super().__init__(Content.assemble((printable(name), "$accent" if is_folder else "$foreground")))
        self.path, self.is_folder = path, is_folder


class _Entries(OptionList):
    """Left and right go up and down the folders, where Textual's own would scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,backspace", "screen.parent", "folder above"),
        Binding("right", "screen.enter_folder", "into it"),
    ]


class PicturePicker(Dialog[Path]):
    """Returns the path of a file."""

    app: Program

    def __init__(self, title: str, folder: Path) -> None:
        """
        Args:
            folder: where one begins to look.
        """
        super().__init__()
        self._title = title
        self.listing = Listing(folder)
        self.view = PictureView("halfcell")

    def compose(self) -> ComposeResult:
        if self.app.options.graphics == "none":
            self.view = PictureView("none")
        with Vertical(classes="dialog-box"):
            yield Label(self._title, classes="dialog-title")
            yield Label("", id="picker-folder")
            with Horizontal():
                yield _Entries(compact=True)
                yield self.view
            with Vertical(classes="dialog-foot"):
                yield Field(placeholder="or a path, typed, pasted or dragged here", compact=True)
                yield Label("", classes="dialog-complaint")
                yield Label("↑ ↓, ← folder above, → or enter, tab to type, esc", classes="dialog-hint")

    def on_mount(self) -> None:
        self._list.focus()
        self._go(self.listing.folder, None)

    @property
    def _list(self) -> OptionList:
        return self.query_one(OptionList)

    @property
    def current(self) -> _Entry | None:
        """What is under the cursor."""
        option = self._list.highlighted_option
        return option if isinstance(option, _Entry) else None

    @work(group="folder", exclusive=True)
    async def _go(self, folder: Path, came_from: Path | None) -> None:
        """Show a folder, the cursor where one came from, or else on the newest picture."""
        listing = await asyncio.to_thread(list_folder, folder)
        if listing.problem:
            self.query_one(".dialog-complaint", Label).update(Content(printable(listing.problem)))
            if self._list.option_count:
                return
        self.listing = listing
        entries = [_Entry(folder.parent, "../", is_folder=True)] if folder.parent != folder else []
        entries += [_Entry(path, f"{path.name}/", is_folder=True) for path in listing.folders]
        before = len(entries)
        entries += [_Entry(path, path.name, is_folder=False) for path in listing.pictures]
        self._list.set_options(entries)
        places = [place for place, entry in enumerate(entries) if entry.path == came_from]
        first = before if listing.pictures else min(1, len(entries) - 1)
        self._list.highlighted = places[0] if places else first if entries else None
        count = len(listing.pictures) + listing.left_out
        more = f", the newest {len(listing.pictures):,} are listed" if listing.left_out else ""
        said = f"{folder}: {count:,} picture{'s' * (count != 1)}{more}"
        self.query_one("#picker-folder", Label).update(Content.assemble((printable(said), "$muted")))
        if not listing.problem:
            self.query_one(".dialog-complaint", Label).update("")

    # --- keys --------------------------------------------------------------------------------------------------------

    def _enter(self, folder: Path) -> None:
        """Go up, where the cursor then is on what one came from, or down."""
        here = self.listing.folder
        self._go(folder, here if folder == here.parent else None)

    def action_parent(self) -> None:
        folder = self.listing.folder
        if folder.parent != folder:
            self._go(folder.parent, folder)

    def action_enter_folder(self) -> None:
        if (entry := self.current) is not None and entry.is_folder:
            self._enter(entry.path)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        entry = event.option
        assert isinstance(entry, _Entry)
        if entry.is_folder:
            self._enter(entry.path)
        else:
            self.dismiss(entry.path)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        entry = event.option
        if isinstance(entry, _Entry):
            self._look(entry)

    @work(group="look", exclusive=True)
    async def _look(self, entry: _Entry) -> None:
        if entry.is_folder:
            self.view.update(None, "")
            return
        await asyncio.sleep(_PAUSE)
        try:
            self.view.update(await asyncio.to_thread(small_picture, entry.path, _SIDE))
        except Flux2Error as error:
            self.view.update(None, printable(str(error)))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        path = picture_path(event.value)
        if event.value.strip() and path.is_dir():
            self._go(path, None)
            self._list.focus()
        elif wrong := absent(path):
            self.query_one(".dialog-complaint", Label).update(Content(printable(wrong)))
        else:
            self.dismiss(path)
