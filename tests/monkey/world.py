"""One screen on a simulated worker, with a home of its own, in virtual time: what operations are done to."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import re
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual import events
from textual.drivers.headless_driver import HeadlessDriver
from textual.geometry import Size

from flux2.paths import state_dir
from tests.monkey import files
from tests.monkey.operations import Operation
from tests.monkey.simulated_worker import SimulatedWorker
from tests.tui.replay import START
from tests.virtual_time import VirtualLoop
from tui.app import Flux2App
from tui.program import Options
from tui.state.choices import Choices, save_choices
from tui.terminal.events import TerminalEvents
from tui.terminal.glyphs import BRAILLE, GLYPHS
from tui.terminal.input import TerminalInput, Token

SETTLING = 3.0
"""Seconds after which whatever was asked for is on the screen: a comparison asks for a picture at every level."""
_LEAVING = 10.0
"""Seconds within which the program is gone after ctrl+q."""


class BrokenRuleError(Exception):
    """Something does not hold."""

    def __init__(self, rule: str, what: str) -> None:
        """
        Args:
            rule: the name of what should hold.
            what: what was found instead.
        """
        super().__init__(f"{rule}: {what}")
        self.rule = rule


class World:
    def __init__(self, folder: Path, chance: random.Random, size: tuple[int, int]) -> None:
        """
        Args:
            folder: an empty one.
            chance: chooses how the screen was started, and how long things take.
            size: the terminal's columns and rows.
        """
        self.loop = asyncio.get_running_loop()
        assert isinstance(self.loop, VirtualLoop)
        self.pictures = folder / "pictures"
        self.size = size
        self.faults: list[str] = []
        """Exceptions that nobody caught, and errors that were logged."""
        self.worker = SimulatedWorker(pictures=self.pictures, clock=self.clock, chance=chance)
        self.app: Flux2App
        self._options = Options(
            graphics=chance.choice(("halfcell", "halfcell", "none")),
            glyphs=chance.choice((BRAILLE, *GLYPHS.values())) or BRAILLE,
            remote=chance.random() < 0.3,
            state=state_dir(),
        )
        self.loop.set_exception_handler(self._uncaught)
        self.worker.begin_with(chance.choice((0, 0, 3, 5)))
        save_choices(state_dir() / "screen.json", Choices(prompt=chance.choice(("", "a {red|blue} fox", "a [fox]"))))
        files.happen("appear", random.Random(chance.random()), self.pictures)

    def clock(self) -> float:
        """Seconds since the epoch."""
        return START + self.loop.time()

    def _uncaught(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(f"{context.get('message')}: {context.get('exception')!r}")

    # --- the program -----------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the program; again, if it has been left."""
        self.worker.attached = False
        self.app = Flux2App(lambda: self.worker, self._options, self.clock)  # type: ignore[arg-type, return-value]
        self._running = AsyncExitStack()
        self.app.driver_class = Terminal
        if self.app.shown is not None:
            self.app.shown.line._clock = self.loop.time
            self.app.shown.line._at = self.loop.time()
        await self._running.enter_async_context(self.app.run_test(headless=False, size=self.size, notifications=True))
        await self.settle()

    @property
    def terminal(self) -> Terminal:
        driver = self.app._driver
        assert isinstance(driver, Terminal)
        return driver

    @property
    def left(self) -> bool:
        """Whether the program has ended, or is about to."""
        return self.app._exit or self.app._exception is not None or self.app._task is None or self.app._task.done()

    async def leave(self) -> None:
        """Press ctrl+q, wherever one is.

        Raises:
            BrokenRuleError: if that does not end the program, or it ends otherwise than it should.
        """
        if not self.left:
            self.type("\x11")
        await self.ended()

    async def ended(self) -> None:
        """Wait until a program that is ending has ended as it should.

        Raises:
            BrokenRuleError: if it does not end as it should.
        """
        task = self.app._task
        assert task is not None
        await asyncio.wait([task], timeout=_LEAVING)
        hangs = not task.done()
        self.app._exit_renderables.clear()
        await self._running.aclose()
        if (crash := self._options.state / "screen-crash.log").exists():
            raise BrokenRuleError("no exception", _last_lines(crash.read_text("utf-8")))
        if hangs:
            raise BrokenRuleError("quit works", f"ctrl+q on {self.app.screen} does not end the program")

    async def settle(self, seconds: float = SETTLING) -> None:
        await asyncio.sleep(seconds)

    # --- operations --------------------------------------------------------------------------------------------------

    async def perform(self, operation: Operation) -> None:
        """Do one; only "wait" lets time pass."""
        match operation.kind, operation.texts, operation.numbers:
            case "type", texts, _:
                self.type("".join(texts).replace("{pictures}", str(self.pictures)))
            case "resize", _, (columns, rows):
                self.resize(int(columns), int(rows))
            case "worker", ("go",), (events,):
                self.worker.go(int(events))
            case "worker", (what,), _:
                getattr(self.worker, what)()
            case "disk", (what,), (seed,):
                files.happen(what, random.Random(seed), self.pictures)
            case "wait", _, (seconds,):
                await asyncio.sleep(seconds)

    def type(self, data: str) -> None:
        """The terminal sends this in one piece."""
        if data and not self.left:
            self.terminal.read(data.encode(errors="surrogateescape"))

    def resize(self, columns: int, rows: int) -> None:
        self.size = columns, rows
        if not self.left:
            self.terminal.resize(Size(columns, rows))


class Terminal(HeadlessDriver):
    """No terminal, and yet all is read and written as if it were one: by the program's own parser, as bytes."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.written = 0
        """Characters that the screen has sent."""
        self._input, self._events = TerminalInput(), TerminalEvents(self._get_terminal_size)

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.written += len(data)

    def read(self, data: bytes) -> None:
        """The program reads this from the terminal, in one piece."""
        self._hand_on(self._input.feed(data))
        if self._input.patience is not None:
            self._loop.call_later(self._input.patience, self._look_again)

    def _look_again(self) -> None:
        if self._input.patience is not None:
            self._hand_on(self._input.stood_still())

    def _hand_on(self, tokens: Iterable[Token]) -> None:
        for token in tokens:
            for event in self._events.of(token):
                self.process_message(event)

    def resize(self, size: Size) -> None:
        self._size = size
        self.send_message(events.Resize(size, size))


def _last_lines(crash: str) -> str:
    """The exception, and where the last lines of the program were that it went through."""
    places = re.findall(r'File ".*?([^/"]+)", line (\d+), in (\S+)', crash)
    last = crash.strip().rsplit("\n", 1)[-1]
    return f"{last} ({' < '.join(' '.join(place) for place in reversed(places[-5:]))})"


@contextmanager
def surroundings(folder: Path) -> Iterator[None]:
    """An environment in which nothing of the user's is read or written."""
    home = folder / "home"
    home.mkdir()
    variables = {
        "HOME": str(home),
        "XDG_DATA_HOME": str(home / "data"),
        "XDG_DOWNLOAD_DIR": str(home),
        "FLUX2_HOME": str(folder / "flux2"),
        "FLUX2_OUTPUT": str(folder / "pictures"),
        "HF_HUB_CACHE": str(folder / "hub"),
        "EDITOR": "true",
        "TEXTUAL_ANIMATIONS": "none",
    }
    with (
        patch.dict(os.environ, variables),
        patch("huggingface_hub.constants.HF_HUB_CACHE", str(folder / "hub")),
    ):
        for name in ("NO_COLOR", "SSH_CONNECTION", "SSH_TTY", "TMUX", "FLUX2_MODELS"):
            os.environ.pop(name, None)
        yield


@asynccontextmanager
async def a_world(folder: Path, chance: random.Random, size: tuple[int, int]) -> AsyncIterator[World]:
    """A world whose screen is open."""
    world = World(folder, chance, size)
    handler = _Errors(world.faults)
    logging.getLogger().addHandler(handler)
    try:
        await world.start()
        yield world
    finally:
        world.app._exit_renderables.clear()
        await world._running.aclose()
        logging.getLogger().removeHandler(handler)


class _Errors(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self._faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        self._faults.append(record.getMessage())
