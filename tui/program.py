"""The program as its screens and widgets know it: what is chosen, what the worker told, and what may be asked for.

`tui.app` is the program itself; nothing below it needs to know it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flux2.errors import Flux2Error
from flux2.paths import state_dir
from tui.keys.keymap import ALL_KEYS, Key
from tui.lines.notices import WindowTitle
from tui.state.choices import Choices, load_choices
from tui.state.library import PictureLibrary
from tui.state.preferences import Preferences
from tui.state.prompt_history import PromptHistory
from tui.state.session import Session, Topic
from tui.terminal.echo import Echo
from tui.terminal.glyphs import Glyphs, best_glyphs
from tui.terminal.type_ahead import TypeAheadApp

if TYPE_CHECKING:
    from flux2.worker.commands import Command
    from tui.state.worker import Worker


@dataclass(frozen=True, slots=True)
class Options:
    """How this screen was started."""

    theme: str = ""
    model: str = ""
    graphics: str = "halfcell"
    glyphs: Glyphs = field(default_factory=best_glyphs)
    remote: bool = False
    notes: Sequence[str] = ()
    """Sentences about how it was started, for the user."""
    state: Path = field(default_factory=state_dir)
    """Folder of the choices and the prompt history."""


class Program(TypeAheadApp):
    def __init__(self, options: Options, clock: Callable[[], float]) -> None:
        """
        Args:
            options: how the screen was started.
            clock: seconds since the epoch.
        """
        super().__init__()
        self.options = options
        self.session = Session(clock)
        self.preferences = Preferences(self, self.session, options.theme, self.say)
        self.preferences.load()
        first = Choices().with_settings(self.preferences.settings)
        self.damages: list[str] = []
        """What could not be read of an earlier screen's choices, as sentences."""
        self.choices = load_choices(self.choices_path, first, self.damages)
        self.prompt_history = PromptHistory(options.state / "prompts.jsonl")
        self.library = PictureLibrary(self.show_library)
        self.last_viewed: Path | None = None
        """Picture that the viewer showed last, so that the gallery can go on from there."""
        self.last_folder: Path | None = None
        """Folder that a picture to be handed in was last taken from."""
        self.window_title = WindowTitle(self.tell_terminal)
        self.echo = Echo(self.tell_terminal)

    # --- the worker --------------------------------------------------------------------------------------------------

    @property
    def worker(self) -> Worker:
        """The worker, to be asked where its answer is needed."""
        raise NotImplementedError

    def attach(self, restart: bool = False, *, end_other: bool = False) -> None:
        """Follow the worker from now on; what was followed before is left."""
        raise NotImplementedError

    async def ask_worker(self, command: Command[Any]) -> bool:
        """Whether the worker has carried a command out; a refusal is shown as the sentence that it is."""
        try:
            await self.worker.ask(command)
        except Flux2Error as error:
            self.say("error", str(error))
            return False
        return True

    def show_news(self, topics: Topic) -> None:
        """Bring to the screen soon what of the session is new."""
        raise NotImplementedError

    def show_library(self) -> None:
        """Bring to the screen what of the library is new."""
        raise NotImplementedError

    # --- the user ----------------------------------------------------------------------------------------------------

    def say(self, level: str, message: str) -> None:
        """A sentence for the user, as a toast and into the log."""
        severity = "error" if level == "error" else "warning" if level == "warning" else "information"
        self.notify(message, severity=severity, timeout=8)  # type: ignore[arg-type]
        self.show_news(self.session.say(level, message))

    def choose(self, choices: Choices) -> None:
        """Take new choices over, show them, and write them down soon."""
        raise NotImplementedError

    def save_soon(self) -> None:
        """Write the choices down once no more come."""
        raise NotImplementedError

    @property
    def choices_path(self) -> Path:
        """The file that keeps the choices."""
        return self.options.state / "screen.json"

    # --- the dashboard, from other screens ---------------------------------------------------------------------------

    def put_prompt(self, prompt: str) -> None:
        """Another prompt into the editor, which gets the focus; ctrl+z brings the old one back."""
        raise NotImplementedError

    def open_models(self) -> None:
        """The screen of all models and their downloads."""
        raise NotImplementedError

    # --- keys --------------------------------------------------------------------------------------------------------

    def keys_of(self, name: str) -> str:
        """The keys of what has this id in the key map, as they are written for people."""
        return self.key_of(name).display

    def key_of(self, name: str) -> Key:
        """What has this id in the key map, with the user's keys."""
        key = next(key for key in ALL_KEYS if key.id == name)
        return replace(key, keys=self.preferences.keys.get(name, key.keys))
