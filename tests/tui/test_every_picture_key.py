"""Every key of the gallery, the viewer, the comparison, the models and the form does what its help says."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from textual.command import CommandPalette
from textual.pilot import Pilot

from flux2 import events as ev
from tests.tui.pictures import FOX, comparing, made, resting
from tests.tui.replay import GB, ReplayBackend
from tests.tui.screen import running, settled, until
from tests.tui.test_models import disk, open_models
from tui.app import Flux2App
from tui.keys.keymap import (
    BROWSER_KEYS,
    COMPARE_KEYS,
    GALLERY_KEYS,
    MODELS_KEYS,
    REDRAW,
    SETTINGS_KEYS,
    VIEWER_KEYS,
    Key,
)
from tui.screens.compare import CompareScreen
from tui.screens.gallery import GalleryScreen
from tui.screens.models import ModelsScreen
from tui.screens.viewer import Viewer
from tui.widgets.settings_pane import SettingsForm

__all__ = ["disk"]
COUNT = 60
"""Pictures in the gallery: several pages."""
QUANTIZATION = 1
"""Its place in the form."""


@dataclass
class Trial:
    app: Flux2App
    backend: ReplayBackend
    folder: Path

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


Holds = Callable[[Trial], object]


def is_open(name: str) -> Holds:
    return lambda trial: type(trial.screen).__name__ == name


def picture(number: int) -> Holds:
    """The picture of this number is at hand."""
    return lambda trial: trial.name == f"p{number:02}"


def marked(trial: Trial) -> bool:
    return trial.screen.current is not None and trial.app.library.is_favourite(trial.screen.current)


def at(place: int) -> Holds:
    return lambda trial: trial.screen._selected == place


def mode(name: str) -> Holds:
    return lambda trial: trial.screen._mode == name


def asked(*wanted: tuple[str, str]) -> Holds:
    return lambda trial: trial.backend.model_asks == list(wanted)


OF_EVERY_SCREEN: dict[str, Holds] = {
    "back": lambda trial: not isinstance(trial.screen, GalleryScreen | ModelsScreen),
    "pictures-dashboard": lambda trial: trial.screen is trial.app.dashboard,
    "pictures-palette": lambda trial: isinstance(trial.screen, CommandPalette),
    "pictures-help": is_open("Help"),
    "pictures-quit": lambda trial: trial.backend.closed,
}
OF_A_PICTURE: dict[str, Holds] = {
    **OF_EVERY_SCREEN,
    "favourite": marked,
    "compare": is_open("CompareScreen"),
    "reuse": lambda trial: (trial.screen is trial.app.dashboard, trial.app.choices.prompt) == (True, FOX.prompt),
    "more": is_open("Menu"),
    "trash": is_open("Confirm"),
    "copy-path": lambda trial: trial.copied.endswith(".png") and not trial.copied.startswith("scp"),
    "copy-prompt": lambda trial: trial.copied == FOX.prompt,
    "copy-seed": lambda trial: trial.copied.isdigit(),
    "scp": lambda trial: trial.copied.startswith("scp "),
}
GALLERY: dict[str, Holds] = {
    **OF_A_PICTURE,
    "back": lambda trial: trial.screen is trial.app.dashboard,
    "open-picture": is_open("Viewer"),
    "filter": lambda trial: trial.screen.filter.has_focus,
    "only-favourites": lambda trial: trial.screen._only_favourites,
    "pick": lambda trial: len(trial.screen.browser.picked) == 1,
    "picture-left": picture(4),
    "picture-right": picture(6),
    "picture-up": picture(2),
    "picture-down": picture(8),
    "page-up": lambda trial: trial.name < "p05",
    "page-down": lambda trial: trial.name > "p09",
    "newest": picture(1),
    "oldest": picture(COUNT),
}
VIEWER: dict[str, Holds] = {
    **OF_A_PICTURE,
    "back": is_open("GalleryScreen"),
    "older-picture": picture(6),
    "newer-picture": picture(4),
    "view-older": picture(6),
    "view-newer": picture(4),
    "view-up": lambda trial: trial.screen.view._centre[1] < 0.5,
    "view-down": lambda trial: trial.screen.view._centre[1] > 0.5,
    "actual-size": lambda trial: trial.screen.view.actual,
    "settings": lambda trial: trial.screen.has_class("-alone"),
}
COMPARE: dict[str, Holds] = {
    **{name: holds for name, holds in OF_A_PICTURE.items() if name != "compare"},
    "back": is_open("GalleryScreen"),
    "compare-left": at(0),
    "compare-right": at(2),
    "compare-open": is_open("Viewer"),
    "flicker": mode("flicker"),
    "difference": mode("difference"),
    "stronger": lambda trial: trial.screen._amplified == 16,
    "weaker": lambda trial: trial.screen._amplified == 4,
    "sheet": lambda trial: list(trial.folder.glob("compare-*.png")),
    "queue-missing": lambda trial: len(trial.backend.enqueued) == 2,
}
MODELS: dict[str, Holds] = {
    **OF_EVERY_SCREEN,
    "back": lambda trial: trial.screen is trial.app.dashboard,
    "use-model": lambda trial: trial.app.choices.model == "klein-4b",
    "download": asked(("start", "klein-4b")),
    "pause": asked(("pause", "klein-4b")),
    "cancel-download": asked(("cancel", "klein-4b")),
    "delete-model": is_open("Confirm"),
}
FORM: dict[str, Holds] = {
    "select": lambda trial: trial.app.dashboard.settings.form.selected != QUANTIZATION,
    "change": lambda trial: trial.app.choices.quantization != "bf16",
    "open": is_open("Menu"),
}
TABLES = [
    ("gallery", (*GALLERY_KEYS, *BROWSER_KEYS), GALLERY),
    ("viewer", VIEWER_KEYS, VIEWER),
    ("compare", COMPARE_KEYS, COMPARE),
    ("models", MODELS_KEYS, MODELS),
    ("form", SETTINGS_KEYS, FORM),
]
TABLES = [(place, tuple(key for key in keys if key is not REDRAW), holds) for place, keys, holds in TABLES]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A picture folder of its own, on a machine reached over ssh."""
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path / "pictures"))
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    yield tmp_path / "pictures"


def test_every_key_has_a_line() -> None:
    for _, keys, holds in TABLES:
        assert {key.id for key in keys} == set(holds)


@pytest.mark.parametrize(
    ("place", "key", "pressed"),
    [
        pytest.param(place, key, pressed, id=f"{place}-{key.id}-{pressed}")
        for place, keys, _ in TABLES
        for key in keys
        for pressed in key.keys.split(",")
    ],
)
async def test_the_key_does_what_its_help_says(place: str, key: Key, pressed: str, elsewhere: Path) -> None:
    holds = next(holds for name, _, holds in TABLES if name == place)[key.id]
    backend = ReplayBackend()
    _fill(elsewhere, place, key)
    async with running(backend, remote=True) as (app, pilot):
        await _OPEN[place](app, pilot, key)
        trial = Trial(app, backend, elsewhere)
        assert not holds(trial), "it is so already"
        await pilot.press(pressed)
        if not backend.closed:
            await until(pilot, lambda: holds(trial))
        assert holds(trial)


def _fill(folder: Path, place: str, key: Key) -> None:
    if place in ("gallery", "viewer"):
        for number in range(1, COUNT + 1):
            made(folder, f"p{number:02}", 1000 - number, seed=number)
    elif place == "compare":
        levels = ("bf16", "qint8", "int4")[: 1 if key.id == "queue-missing" else 3]
        for number, level in enumerate(levels):
            made(folder, level, 9 - number, quantization=level, color=(100 + number, 100, 100))


async def _open_gallery(app: Flux2App, pilot: Pilot[None], _: Key) -> None:
    await pilot.press("escape", "3")
    await until(pilot, lambda: isinstance(app.screen, GalleryScreen) and app.screen.browser.is_mounted)
    await resting(pilot)
    screen = app.screen
    assert isinstance(screen, GalleryScreen)
    if screen.browser.pictures and len(screen.browser.pictures) == COUNT:
        screen.browser.go_to(screen.browser.pictures[4].path)
        await resting(pilot)


async def _open_viewer(app: Flux2App, pilot: Pilot[None], key: Key) -> None:
    await _open_gallery(app, pilot, key)
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, Viewer) and app.screen.view._image is not None)
    if key.id in ("view-up", "view-down"):
        await pilot.resize_terminal(60, 16)
        await pilot.press("z")
        await settled(pilot)


async def _open_compare(app: Flux2App, pilot: Pilot[None], key: Key) -> None:
    await _open_gallery(app, pilot, key)
    backend = app.worker
    assert isinstance(backend, ReplayBackend)
    if key.id == "queue-missing":
        backend.refuses = "The queue is full."
    await pilot.press("c")
    screen = await comparing(pilot, 1 if key.id == "queue-missing" else 3)
    assert isinstance(screen, CompareScreen)
    if key.id == "queue-missing":
        await until(pilot, lambda: screen.check_action("retry", ()))
        backend.refuses = ""
    if key.id in ("stronger", "weaker"):
        await pilot.press("d")
    await settled(pilot)


async def _open_models(app: Flux2App, pilot: Pilot[None], key: Key) -> None:
    backend = app.worker
    assert isinstance(backend, ReplayBackend)
    if key.id in ("pause", "cancel-download"):
        backend.feed(ev.DownloadProgress(model="klein-4b", state="downloading", done=GB, total=16 * GB))
    await open_models(app, pilot, "klein-base-4b" if key.id == "delete-model" else "klein-4b")
    with contextlib.suppress(AssertionError):
        await until(pilot, lambda: app.screen.check_action(key.action.split("(")[0], ()))


async def _open_form(app: Flux2App, pilot: Pilot[None], _: Key) -> None:
    form = app.dashboard.query_one(SettingsForm)
    form.focus()
    form.selected = QUANTIZATION
    await settled(pilot)


_OPEN: dict[str, Callable[[Flux2App, Pilot[None], Key], Any]] = {
    "gallery": _open_gallery,
    "viewer": _open_viewer,
    "compare": _open_compare,
    "models": _open_models,
    "form": _open_form,
}
