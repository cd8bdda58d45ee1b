"""All models: what each needs, how much of it is here; downloading, pausing, cancelling and deleting them."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from flux2.events import DownloadProgress
from flux2.humanize import gigabytes
from flux2.store.inventory import ModelEntry, free_room, list_models
from flux2.worker.commands import CancelDownload, DeleteModel, PauseDownload, StartDownload
from tui.keys.bindings import bindings
from tui.keys.keymap import MODELS_KEYS, Key
from tui.lines.model_lines import details, line
from tui.program import Program
from tui.screens import picture_desk
from tui.screens.choosing_model import choose_model
from tui.terminal.inside_textual import UserKeysScreen
from tui.widgets.key_bar import KeyBar
from tui.widgets.pane import Heading
from tui.widgets.plain import Option, OptionList, Static

_REDRAW_EVERY = {False: 0.5, True: 2.0}
"""Seconds between two looks at the downloads, by whether the terminal is remote."""
_LOOK_EVERY = 5.0
"""Seconds between two looks at the disk, where other programs put and remove models, too."""


class ModelsScreen(UserKeysScreen):
    """Follows the worker's downloads; what was asked for goes on when the screen is left."""

    KEYS: ClassVar[tuple[Key, ...]] = MODELS_KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(MODELS_KEYS)
    app: Program

    def __init__(self, highlighted: str = "") -> None:
        """
        Args:
            highlighted: the model under the cursor at first; the chosen one if empty.
        """
        super().__init__()
        self._first = highlighted
        self._entries: tuple[ModelEntry, ...] = ()
        self._free = 0
        self._lines: list[Content] = []
        self._resting: dict[str, str] = {}
        self.heading = Heading("Models")
        self.list = OptionList(compact=True)
        self.words = Static(id="model-words")

    def compose(self) -> ComposeResult:
        yield self.heading
        yield self.list
        yield self.words
        yield KeyBar()

    def on_mount(self) -> None:
        self.list.focus()
        self._look()
        self.set_interval(_LOOK_EVERY, self._look)
        self.set_interval(_REDRAW_EVERY[self.app.options.remote], self._follow)

    def on_resize(self) -> None:
        self._show()

    @work(group="look", exclusive=True)
    async def _look(self) -> None:
        """Ask the disk, which may be slow, for what is there."""
        self._entries, (folder, self._free) = await asyncio.to_thread(lambda: (list_models(), free_room()))
        self.heading.detail = Content.styled(f"{gigabytes(self._free)} GB free in {folder}", "$muted")
        self._show()

    def _follow(self) -> None:
        """Show how the downloads go; one that has come to rest has changed the disk."""
        resting = {name: told.state for name, told in self.app.session.downloads.items() if not told.going_on}
        if resting != self._resting:
            self._resting = resting
            self._look()
        self._show()

    # --- showing -----------------------------------------------------------------------------------------------------

    @property
    def current(self) -> ModelEntry | None:
        """The model under the cursor."""
        place = self.list.highlighted
        return self._entries[place] if place is not None and place < len(self._entries) else None

    def _download(self, entry: ModelEntry) -> DownloadProgress | None:
        return self.app.session.downloads.get(entry.name)

    def _show(self) -> None:
        chosen, width = self.app.choices.model, self.app.size.width
        lines = [
            line(entry, self._download(entry), chosen=entry.name == chosen, width=width) for entry in self._entries
        ]
        if len(lines) != len(self._lines):
            self.list.set_options([Option(text) for text in lines])
            names = [entry.name for entry in self._entries]
            first = self._first or chosen
            self.list.highlighted = names.index(first) if first in names else 0
        else:
            for place, (before, now) in enumerate(zip(self._lines, lines, strict=True)):
                if before != now:  # over a slow line an unchanged one costs nothing
                    self.list.replace_option_prompt_at_index(place, now)
        self._lines = lines
        self._show_words()

    def _show_words(self) -> None:
        if entry := self.current:
            self.words.update(details(entry, self._download(entry), self._free, self.app.options.glyphs))
            self.refresh_bindings()

    def on_option_list_option_highlighted(self) -> None:
        self._show_words()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """The footer shows, and keys do, only what works for the model under the cursor."""
        if action not in ("use", "download", "pause", "cancel", "delete"):
            return True
        entry = self.current if self.is_mounted else None
        if entry is None:
            return False
        download = self._download(entry)
        on = download is not None and (download.going_on or download.state == "paused")
        match action:
            case "download":
                return entry.state in ("partly", "absent") and not (download and download.going_on)
            case "pause" | "cancel":
                return on
            case "delete":
                return entry.here > 0 and bool(entry.repo)
            case _:
                return True

    # --- keys --------------------------------------------------------------------------------------------------------

    def on_option_list_option_selected(self) -> None:
        self.action_use()

    def action_use(self) -> None:
        """Make the next picture with it; what is not here is downloaded then."""
        if entry := self.current:
            self.dismiss()
            choose_model(self.app, entry.name)

    @work(group="command")
    async def action_download(self) -> None:
        if entry := self.current:
            await self.app.ask_worker(StartDownload(entry.name))

    @work(group="command")
    async def action_pause(self) -> None:
        """Or go on."""
        if (entry := self.current) and (download := self._download(entry)):
            command = StartDownload if download.state == "paused" else PauseDownload
            await self.app.ask_worker(command(entry.name))

    @work(group="command")
    async def action_cancel(self) -> None:
        if entry := self.current:
            await self.app.ask_worker(CancelDownload(entry.name))

    @work(group="command")
    async def action_delete(self) -> None:
        from tui.screens.confirm import Confirm

        if (entry := self.current) is None:
            return
        question = f"Delete {entry.name}, {gigabytes(entry.here)} GB, from the disk?"
        if await self.app.push_screen_wait(Confirm(question, "delete-model")):
            await self.app.ask_worker(DeleteModel(entry.name))
            self._look()

    def action_back(self) -> None:
        self.dismiss()

    def action_dashboard(self) -> None:
        picture_desk.open_dashboard(self.app)

    def action_help(self) -> None:
        from tui.screens.help import Help

        self.app.push_screen(Help(self.KEYS))

    async def action_quit(self) -> None:
        await self.app.action_quit()
