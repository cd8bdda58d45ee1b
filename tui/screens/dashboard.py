"""The dashboard: all panes, and what each key does."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import ClassVar

from textual import events, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.geometry import Size
from textual.widgets import TextArea

from flux2.errors import Flux2Error
from flux2.inputs.wildcards import resolve
from flux2.request import GenerationRequest
from tui.keys.bindings import bindings
from tui.keys.keymap import KEYS, Key
from tui.program import Options, Program
from tui.screens import handing_in, iterating, picture_desk, replacing
from tui.screens.queued_edit import QueuedEdit
from tui.screens.worker_keys import WorkerKeys
from tui.state.choices import Choices
from tui.state.handing_in import move, take_away
from tui.state.prompt_history import PromptHistory
from tui.state.session import Session, Topic
from tui.widgets.key_bar import KeyBar
from tui.widgets.log_pane import LogPane
from tui.widgets.memory_pane import MemoryPane
from tui.widgets.pane import Pane
from tui.widgets.pictures_in_pane import PictureCards, PicturesInPane
from tui.widgets.plain import Static
from tui.widgets.preview_pane import PAUSE, PreviewPane
from tui.widgets.progress_pane import ProgressPane
from tui.widgets.prompt_pane import PromptEditor, PromptPane
from tui.widgets.queue_pane import QueueList, QueuePane
from tui.widgets.settings_pane import SettingsForm, SettingsPane
from tui.widgets.status_bar import StatusBar

SMALLEST = (60, 16)
"""Columns and rows below which the panes would lie to the eye."""
TWO_COLUMNS = (100, 32)
LARGE = (160, 50)
COUNT_AFTER = 0.4
"""Seconds without a key before the prompt's tokens are counted."""
_MOST_COUNTED = 20_000
"""Characters; a message to the worker has a limit. Of a longer prompt its beginning tells how many tokens the model
reads, and its own number stays an estimate."""

_HAS_AN_ENTER = (PromptEditor, SettingsForm, QueueList, PictureCards)
"""What does something of its own with that key."""


class Dashboard(WorkerKeys):
    KEYS: ClassVar[tuple[Key, ...]] = KEYS
    BINDINGS: ClassVar[list[BindingType]] = bindings(KEYS)
    AUTO_FOCUS = ""  # it would focus the editor again whenever a menu closes, and letters would be text
    app: Program

    def __init__(self, options: Options, choices: Choices, history: PromptHistory) -> None:
        super().__init__()
        self.status = StatusBar(options.remote)
        self.prompt = PromptPane(history)
        self.settings = SettingsPane()
        self.pictures_in = PicturesInPane()
        self.memory = MemoryPane(options.glyphs)
        self.preview = PreviewPane(options.graphics, PAUSE[options.remote])
        self.progress = ProgressPane(options.glyphs)
        self.log_pane = LogPane()
        self.queue = QueuePane()
        self.edited = QueuedEdit(self.prompt, self.refresh_bindings)
        self._asking = asyncio.Lock()
        self.prompt.editor.text = choices.prompt
        self.prompt.editor.move_cursor(self.prompt.editor.document.end)
        self.settings.form.set_reactive(SettingsForm.choices, choices)

    def compose(self) -> ComposeResult:
        yield self.status
        with Container(id="panes"):
            yield from self.panes
        yield Static(id="too-small")
        yield KeyBar()

    @property
    def panes(self) -> tuple[Pane, ...]:
        """In the order in which the grid places them."""
        first = self.prompt, self.settings, self.pictures_in
        return (*first, self.memory, self.preview, self.progress, self.log_pane, self.queue)

    def on_mount(self) -> None:
        self._arrange_for(self.app.size)  # so that the first frame is right already
        self.prompt.show_negative(self.app.choices.negative_prompt)
        self._show_pictures_in()
        self.prompt.editor.focus()
        self.set_interval(1.0, self._tick)

    def on_resize(self, event: events.Resize) -> None:
        self._arrange_for(event.size)

    def _arrange_for(self, size: Size) -> None:
        for name, (columns, rows) in (("-two-columns", TWO_COLUMNS), ("-large", LARGE)):
            self.set_class(size.width >= columns and size.height >= rows, name)
        too_small = size.width < SMALLEST[0] or size.height < SMALLEST[1]
        self.set_class(too_small, "-too-small")
        if too_small:
            needed = f"{SMALLEST[0]}×{SMALLEST[1]}"
            self.query_one("#too-small", Static).update(
                f"This terminal is {size.width}×{size.height}.\nflux2-tui needs {needed} or more."
            )

    # --- showing -----------------------------------------------------------------------------------------------------

    def show(self, session: Session, topics: Topic) -> None:
        """Bring up to date whatever listens to these topics."""
        if self.status.TOPICS & topics:
            self.status.show(session)
        for pane in self.panes:
            if pane.TOPICS & topics:
                pane.show(session)
        if Topic.QUEUE & topics:
            self.query_one("#panes").set_class(session.waiting > 0, "-queue")
        if Topic.WORKER & topics:  # what there is of memory
            self._show_pictures_in()
        if Topic.WORKER & topics and not self.prompt.is_counted:  # what was typed before the worker could count
            self._count_tokens()
        if (Topic.QUEUE | Topic.RUN | Topic.WORKER) & topics:
            self.refresh_bindings()

    def show_choices(self, choices: Choices) -> None:
        if choices.model != self.settings.form.choices.model:
            self._count_tokens()
        self.settings.form.choices = choices
        self.prompt.show_negative(choices.negative_prompt)
        self._show_pictures_in()

    def _show_pictures_in(self) -> None:
        """Their pane is there while there are any; what had the focus with the last of them gives it up."""
        there = self.pictures_in.show_choices(self.app.choices)
        self.query_one("#panes").set_class(there, "-pictures-in")
        if not there and self.pictures_in.has_focus_within:
            self.set_focus(None)

    def _tick(self) -> None:
        """Elapsed time and ETA, once a second; nothing else moves by itself."""
        self.app.window_title.show(self.app.session)
        if self.app.session.running:
            self.progress.tick(self.app.session)

    # --- running -----------------------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002
        """The footer shows, and keys do, only what works now."""
        session = self.app.session
        match action:
            case "cancel":
                return bool(session.under_way)
            case "run":
                return session.worker is not None
            case "restart_worker":
                return bool(session.trouble) or (session.strange is not None and not session.retiring)
            case "edit_prompt":
                return not isinstance(self.focused, _HAS_AN_ENTER)
            case "reject" | "more":
                return session.worker is not None and session.run is not None and bool(session.run.request)
            case "give_up_edit":
                return bool(self.edited.run)
            case "hold":
                return session.running or session.waiting > 0 or session.held
            case "unfinished":
                return bool(session.unfinished)
            case "unload":
                return session.worker is not None and bool(session.worker.model)
            case "search_history":
                return bool(self.app.prompt_history.entries)
            case "favourite":
                return session.picture is not None
            case "compare":
                return session.run is not None and bool(session.run.request)
            case "compare_strengths":
                return session.run is not None and bool(session.run.request.get("loras"))
            case _:
                return True

    @work(group="command")
    async def action_run(self) -> None:
        async with self._asking:  # the seed of the next one may follow from this one's
            await iterating.make_picture(self.app, self.prompt.editor.text, self.edited)

    def action_cancel(self) -> None:
        from tui.screens.confirm import Confirm

        run = self.app.session.under_way
        if not run:
            return

        async def take(yes: bool | None) -> None:
            from flux2.worker.commands import Cancel

            if yes:
                await self.app.ask_worker(Cancel(run))

        question = Confirm("Cancel the running picture?", "cancel", lambda: self.app.session.under_way == run)
        self.app.push_screen(question, take)

    def on_queue_list_edited(self, event: QueueList.Edited) -> None:
        self.edited.begin(self.app, event.item)

    @work(group="command")
    async def action_reject(self) -> None:
        await iterating.reject(self.app)

    def action_more(self) -> None:
        iterating.more_like_this(self.app)

    def action_give_up_edit(self) -> None:
        self.edited.end(self.app)

    @work(group="command")
    async def action_restart_worker(self) -> None:
        await replacing.replace_worker(self.app)

    async def action_quit(self) -> None:
        await self.app.action_quit()

    # --- choosing ----------------------------------------------------------------------------------------------------

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        self.app.choices = replace(self.app.choices, prompt=event.text_area.text)
        self.app.save_soon()
        self._count_tokens()

    @work(group="tokens", exclusive=True, exit_on_error=False)
    async def _count_tokens(self) -> None:
        """Ask the worker once the typing rests."""
        from flux2.worker.commands import CountTokens

        await asyncio.sleep(COUNT_AFTER)
        text, session = self.prompt.editor.text[:_MOST_COUNTED], self.app.session
        if session.worker is None or not session.worker.ready or not text:
            return
        choices = self.app.choices
        model, prompt = choices.base or choices.model, resolve(text, choices.seed or 0)
        with contextlib.suppress(Flux2Error):  # the estimate stays
            self.prompt.show_tokens(text, await self.app.worker.ask(CountTokens(model, prompt)))

    def on_prompt_editor_pictures_dropped(self, event: PromptEditor.PicturesDropped) -> None:
        handing_in.dropped(self.app, event.paths)

    def action_pictures_in(self) -> None:
        handing_in.ask_pictures(self.app)

    def on_picture_cards_opened(self) -> None:
        self.action_pictures_in()

    def on_picture_cards_removed(self, event: PictureCards.Removed) -> None:
        self.app.choose(take_away(self.app.choices, event.item))

    def on_picture_cards_moved(self, event: PictureCards.Moved) -> None:
        self.app.choose(move(self.app.choices, event.item.place, event.by))

    def action_edit_elsewhere(self) -> None:
        iterating.edit_elsewhere(self.app, self.prompt.editor)

    def action_search_history(self) -> None:
        iterating.search_history(self.app)

    def action_picture_settings(self) -> None:
        iterating.ask_for_picture(self.app)

    def action_settings(self) -> None:
        from tui.screens.settings_screen import SettingsScreen

        self.app.push_screen(SettingsScreen())

    def action_edit_prompt(self) -> None:
        self.prompt.editor.focus()

    def on_settings_form_opened(self, event: SettingsForm.Opened) -> None:
        match event.setting:
            case "model":
                self.action_model_menu()
            case "quantization":
                self.action_quantization_menu()
            case "size":
                self.action_size_menu()
            case field:
                self.action_sampling(field)

    def on_settings_form_changed(self, event: SettingsForm.Changed) -> None:
        from tui.state.stepping import stepped

        self.app.choose(stepped(self.app.choices, event.setting, event.by, self._last_seed))

    def action_model_menu(self) -> None:
        from tui.screens.menus import ask_model

        ask_model(self.app)

    def action_quantization_menu(self) -> None:
        from tui.screens.menus import ask_quantization

        ask_quantization(self.app)

    def action_lora_menu(self) -> None:
        from tui.screens.lora_menu import LoraMenu

        self.app.push_screen(LoraMenu(self.app.choices, self.app.choose))

    def action_size_menu(self) -> None:
        from tui.screens.menus import ask_size

        ask_size(self.app)

    def action_theme_menu(self) -> None:
        from tui.screens.menus import ask_theme

        ask_theme(self.app)

    def action_sampling(self, field: str) -> None:
        from tui.screens.sampling import SamplingDialog

        def take(choices: Choices | None) -> None:
            if choices is not None:
                self.app.choose(choices)

        self.app.push_screen(SamplingDialog(self.app.choices, field, self._last_seed), take)

    def action_seed_mode(self) -> None:
        self.app.choose(self.app.choices.next_seed_mode(1, self._last_seed))

    @property
    def _last_seed(self) -> int | None:
        run = self.app.session.run
        return run.seed if run else None

    # --- looking -----------------------------------------------------------------------------------------------------

    def action_view(self, name: str) -> None:
        """One pane alone, or all of them."""
        alone = {"preview": self.preview, "log": self.log_pane}.get(name)
        self._show_alone(alone)

    def action_maximize_pane(self) -> None:
        panes = [pane for pane in self.panes if pane.has_focus_within]
        self._show_alone(None if self.has_class("-alone") else panes[0] if panes else self.memory)

    def _show_alone(self, alone: Pane | None) -> None:
        self.set_class(alone is not None, "-alone")
        for pane in self.panes:
            pane.set_class(pane is alone, "-shown")

    def on_descendant_focus(self) -> None:
        """A pane alone gives way to one that gets the focus: what is written must be seen."""
        if self.has_class("-alone") and not any(pane.has_focus_within for pane in self.query(".-shown")):
            self._show_alone(None)

    def action_graph_window(self) -> None:
        graph = self.memory.graph
        graph.whole_run = not graph.whole_run
        self.memory.heading.title = "Memory" if graph.whole_run else "Memory, 2 min"

    # --- pictures ----------------------------------------------------------------------------------------------------

    def action_models(self) -> None:
        from tui.screens.models import ModelsScreen

        self.app.push_screen(ModelsScreen())

    def action_gallery(self) -> None:
        picture_desk.open_gallery(self.app)

    @work(group="favourite")
    async def action_favourite(self) -> None:
        if (path := self.app.session.picture) is not None:
            await picture_desk.toggle_favourite_at(self.app, path)

    def action_compare(self) -> None:
        """The run shown, be it finished or not."""
        if (run := self.app.session.run) is not None and run.request:
            picture_desk.compare(self.app, GenerationRequest.from_dict(dict(run.request)))

    def action_compare_strengths(self) -> None:
        if (run := self.app.session.run) is not None and run.request:
            picture_desk.compare_strengths(self.app, GenerationRequest.from_dict(dict(run.request)))

    def action_help(self) -> None:
        from tui.screens.help import Help

        pane = next((pane for pane in self.panes if pane.has_focus_within), None)
        self.app.push_screen(Help(about=pane.TITLE, sentence=pane.HELP) if pane else Help())
