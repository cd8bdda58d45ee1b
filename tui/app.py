"""The program: the worker's link, the user's choices and themes, and the dashboard above them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import SystemCommand
from textual.binding import BindingType
from textual.filter import LineFilter
from textual.screen import Screen

from flux2 import complaints
from flux2 import events as ev
from tui.keys.bindings import bindings
from tui.keys.keymap import REDRAW
from tui.lines.notices import notice
from tui.program import Options, Program
from tui.screens import picture_desk
from tui.screens.commands import Commands, commands_of
from tui.screens.dashboard import Dashboard
from tui.state.choices import Choices, save_choices
from tui.state.preferences import LOOK_EVERY
from tui.state.session import Topic
from tui.state.themes import variable_defaults
from tui.terminal.endings import LOG, Endings
from tui.terminal.palette import Palette256

if TYPE_CHECKING:
    from tui.state.link import WorkerLink
    from tui.state.worker import Worker

_SAVE_AFTER = 0.7
"""Seconds of quiet after which a change of the choices is written down."""
LOCAL_PAUSE, REMOTE_PAUSE = 0.25, 1.0
"""Least seconds between two redraws: a key that meets one waits for it, and a slow line must not be what limits the
worker's news. What comes after a quiet time is shown at once, be the terminal remote or not."""
_TOGETHER = 0.1
"""Seconds within which news are shown together."""
LEFT = "The run goes on without the screen; start flux2-tui again to watch it."


class Flux2App(Program):
    TITLE = "flux2-tui"
    CSS_PATH: ClassVar[list[str | PurePath]] = [*sorted(Path(__file__).parent.rglob("*.tcss"))]
    BINDINGS: ClassVar[list[BindingType]] = bindings([REDRAW])
    ENABLE_COMMAND_PALETTE = True
    VERTICAL_BREAKPOINTS = [(0, "-low"), (30, "-high")]  # noqa: RUF012 — Textual's own annotation is not a ClassVar

    def __init__(
        self, make_worker: Callable[[], Worker], options: Options, clock: Callable[[], float] = time.time
    ) -> None:
        """
        Args:
            make_worker: called once the first frame is out.
            options: how the screen was started.
            clock: seconds since the epoch.
        """
        super().__init__(options, clock)
        self._make_worker = make_worker
        self._saved = self.choices
        if options.model:
            self.choices = self.choices.with_model(options.model)
        self._palette = Palette256()
        self._stale, self._redraw_timer, self._save_timer = Topic(0), False, False
        self._redrawn = 0.0
        self.takes_input = False
        self._told_unfinished: set[str] = set()
        self._told_strange = 0
        self.endings = Endings(self, options.state / LOG, self._save_now)
        if options.remote or options.graphics == "sixel":
            self.paint_little(slowly=options.remote)

    # --- start and end -----------------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[Any]:
        return Dashboard(self.options, self.choices, self.prompt_history)

    def on_mount(self) -> None:
        self.preferences.tell()
        for note in (*complaints, *self.options.notes, *self.damages):
            self.say("warning", note)
        self.set_interval(LOOK_EVERY, self.preferences.look)
        self.app_resume_signal.subscribe(self, lambda _: self._paint_anew())
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        self.takes_input = True
        self.attach()

    async def action_quit(self) -> None:
        self._save_now()
        message = LEFT if self.session.running else None
        await self.worker.close()
        self.window_title.restore()
        self.exit(message=message)

    def failed(self, error: Exception) -> None:
        self.endings.failed(error)

    # --- the worker --------------------------------------------------------------------------------------------------

    @cached_property
    def worker(self) -> Worker:
        return self._make_worker()

    @cached_property
    def _link(self) -> WorkerLink:
        from tui.state.link import WorkerLink

        return WorkerLink(self.worker, self.session, changed=self.show_news, happened=self._happened)

    def attach(self, restart: bool = False, *, end_other: bool = False) -> None:
        self.run_worker(self._link.follow(restart=restart, end_other=end_other), group="link", exclusive=True)

    def show_news(self, topics: Topic) -> None:
        self._stale |= topics
        if self._stale and not self._redraw_timer:
            self._redraw_timer = True
            pause = REMOTE_PAUSE if self.options.remote else LOCAL_PAUSE
            self.set_timer(max(_TOGETHER, self._redrawn + pause - time.monotonic()), self._redraw)

    def _redraw(self) -> None:
        self._redraw_timer, self._redrawn = False, time.monotonic()
        if not self.screen_stack:  # it is closing
            return
        topics, self._stale = self._stale, Topic(0)
        self.dashboard.show(self.session, topics)
        picture_desk.show(self, self.session, topics)
        self._tell_unfinished()
        self._tell_strange()

    def _tell_strange(self) -> None:
        """Say once of each worker what is not as a new one's would be, and what replaces it."""
        found, worker = self.session.strange, self.session.worker
        if found and worker is not None and worker.pid != self._told_strange:
            self._told_strange = worker.pid
            self.say("warning", f"{found.sentence}: {self.keys_of('restart')} replaces it once its queue is done.")

    def _tell_unfinished(self) -> None:
        """Offer runs that broke off, once for each."""
        runs = self.session.unfinished
        if {run["id"] for run in runs} - self._told_unfinished:
            from tui.screens.unfinished import summary

            self.say("warning", summary(runs, self.keys_of("unfinished")))
        self._told_unfinished |= {run["id"] for run in runs}

    def _happened(self, event: ev.Event) -> None:
        match event:
            case ev.RunFinished(path=path):
                picture_desk.finished(self, Path(path))
                self._notify_of_end("Picture saved", Path(path).name)
            case ev.RunFailed(message=message):
                self.notify(message, title="Run failed", severity="error", timeout=10)
                self._notify_of_end("Run failed", message)
            case ev.Warned(message=message):
                self.notify(message, severity="warning", timeout=8)

    def _notify_of_end(self, title: str, text: str) -> None:
        """To the terminal, as the user's settings want it: of every run, or of the last of the queue."""
        wanted = self.preferences.settings
        if wanted.notify_when == "run" or not self.session.waiting or self.session.held:
            self.tell_terminal(notice(wanted.notify, title, text))

    def on_cursor_position(self) -> None:
        self.echo.answered()

    def on_resize(self) -> None:
        self._forget_shown()

    def _forget_shown(self) -> None:
        if self.shown is not None:
            self.shown.forget()

    def action_redraw(self) -> None:
        """Whatever the terminal shows by now, as after another program's word to all; and take the notices away."""
        self.clear_notifications()
        self._paint_anew()

    def _paint_anew(self) -> None:
        self._forget_shown()
        self.screen.refresh(layout=True)

    @property
    def dashboard(self) -> Dashboard:
        screen = self.screen_stack[0]
        assert isinstance(screen, Dashboard)
        return screen

    def show_library(self) -> None:
        picture_desk.show_library(self)

    def put_prompt(self, prompt: str) -> None:
        self.dashboard.prompt.put(prompt)

    def open_models(self) -> None:
        self.dashboard.action_models()

    # --- what the user chooses ---------------------------------------------------------------------------------------

    def choose(self, choices: Choices) -> None:
        self.choices = choices
        self.dashboard.show_choices(choices)
        self.save_soon()

    def save_soon(self) -> None:
        if not self._save_timer:
            self._save_timer = True
            self.set_timer(_SAVE_AFTER, self._save_now)

    def _save_now(self) -> None:
        self._save_timer = False
        if self.screen_stack:  # straight from the editor: its last change may still be on its way
            self.choices = replace(self.choices, prompt=self.dashboard.prompt.editor.text)
        if self.choices == self._saved:  # another screen may have written its own meanwhile
            return
        try:
            save_choices(self.choices_path, self.choices)
            self._saved = self.choices
        except OSError as error:
            self.log.error(f"choices not saved: {error}")  # a full disk must not disturb a run

    # --- colours, themes and commands --------------------------------------------------------------------------------

    def get_line_filters(self) -> Sequence[LineFilter]:
        filters = super().get_line_filters()
        return [*filters, self._palette] if self.console.color_system == "256" else filters

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        return commands_of(self, screen)

    def action_command_palette(self) -> None:
        if not isinstance(self.screen, Commands):
            self.push_screen(Commands())

    def action_help_quit(self) -> None:
        """What ctrl+c says, which quits other programs."""
        self.notify(f"{self.keys_of('quit')} leaves. {LEFT}")
