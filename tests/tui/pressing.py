"""Keys pressed one after the other, each where the one before it has left no trace."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widget import Widget

from tests.tui.replay import ReplayBackend
from tests.tui.screen import settled, until
from tui.app import Flux2App
from tui.keys.keymap import Key
from tui.state.choices import Choices
from tui.widgets.picture_view import PictureView


@dataclass
class Trial:
    """A program in which keys are tried."""

    app: Flux2App
    pilot: Pilot[None]
    backend: ReplayBackend
    folder: Path
    """Folder of the pictures."""

    def __post_init__(self) -> None:
        self._choices: Choices = self.app.choices

    @property
    def screen(self) -> Any:
        return self.app.screen

    @property
    def name(self) -> str:
        """Name of the picture at hand."""
        current = getattr(self.screen, "current", None)
        return current.path.stem if current else ""

    @property
    def copied(self) -> str:
        return self.app.clipboard

    def state(self) -> list[object]:
        """All that a key may change: every cell of the screen, and what is kept behind it."""
        app = self.app
        cells = [list(strip) for strip in app.screen._compositor.render_strips()]
        asked = [getattr(self.backend, it.name) for it in fields(ReplayBackend) if it.name[0] != "_"]
        asked = [list(it) if isinstance(it, list) else it for it in asked]
        files = sorted(str(path) for path in self.folder.rglob("*"))
        centres = [view._centre for view in app.screen.query(PictureView)]
        kept = [
            centres,
            app.choices,
            app.clipboard,
            app.dashboard.edited.run,
            app.dashboard.prompt.editor.text,
            asked,
            files,
        ]
        return [cells, [type(screen) for screen in app.screen_stack], _place(app.focused), app.size, *kept]

    async def put_back(self, screen: type, steps: int = 4) -> None:
        """Leave what lies above a screen, and undo what a key asked, chose and copied."""
        for _ in range(steps):
            if type(self.screen) is not screen and self.screen is not self.app.dashboard:
                await self.pilot.press("escape")
                await settled(self.pilot)
        for it in fields(ReplayBackend):
            if it.default_factory is list:
                getattr(self.backend, it.name).clear()
            elif it.default is not MISSING and isinstance(it.default, int):
                setattr(self.backend, it.name, it.default)
        if self.app.choices != self._choices:
            self.app.choose(self._choices)
        self.app._clipboard = ""
        self.app.clear_notifications()
        await settled(self.pilot)


Holds = Callable[[Trial], object]
"""What is true after a key, and only then."""


async def press_each(
    keys: Iterable[tuple[Key, str]],
    holds: dict[str, Holds],
    start: Callable[[], AbstractAsyncContextManager[Trial]],
    come_back: Callable[[Trial], Awaitable[object]],
) -> None:
    """Press each key where it should act, and wait until that is so which its help says.

    Args:
        keys: each with one of the ways to press it.
        holds: what does, by the key's name.
        start: a program of which nothing holds yet, in an empty home. One serves for many keys: until it can't be
            brought back.
        come_back: brings it back; that everything is as it was is looked at here.

    Raises:
        AssertionError: which names the key.
    """
    left = list(keys)
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(Flux2App, "exit", lambda *_, **__: None)
        while left:
            shutil.rmtree(os.environ["FLUX2_HOME"], ignore_errors=True)
            async with start() as trial:
                first = trial.state()
                while left:
                    await _press(trial, *left.pop(0), holds)
                    with contextlib.suppress(AssertionError):
                        await come_back(trial)
                    if trial.state() != first:
                        break


def _place(focused: Widget | None) -> tuple[type, str | None] | None:
    return (type(focused), focused.id) if focused else None


async def _press(trial: Trial, key: Key, pressed: str, holds: dict[str, Holds]) -> None:
    assert not holds[key.id](trial), f"{key.id}: it is so already, before {pressed}"
    await trial.pilot.press(pressed)
    try:
        await until(trial.pilot, lambda: holds[key.id](trial))
    except AssertionError as error:
        raise AssertionError(f"{key.id}: {pressed} does not do it\n{error}") from None
    await settled(trial.pilot)
    assert holds[key.id](trial), f"{key.id}: {pressed} has done it for a moment"
