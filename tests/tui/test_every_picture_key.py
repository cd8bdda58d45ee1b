"""Every key of the gallery, the viewer, the comparison, the models and the form does what its help says."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.command import CommandPalette

from flux2 import events as ev
from flux2.inputs.attachment import Attachment
from flux2.inputs.checks import QUANTIZATIONS
from flux2.inputs.loras import Lora
from tests.tui.pictures import FOX, comparing, made, resting
from tests.tui.pressing import Holds, Trial, press_each
from tests.tui.replay import GB, ReplayBackend
from tests.tui.screen import SIZE, running, settled, until
from tests.tui.test_models import disk, open_models
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
from tui.screens.dashboard import Dashboard
from tui.screens.gallery import GalleryScreen
from tui.screens.models import ModelsScreen
from tui.screens.viewer import Viewer
from tui.widgets.settings_pane import SettingsForm

__all__ = ["disk"]
COUNT = 60
"""Pictures in the gallery: several pages."""
SMALL = (80, 24)
"""Columns and rows that are enough for screens that are all picture, of which every cell is drawn."""
QUANTIZATION = 1
"""Its place in the form."""


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
    "compare": lambda trial: (
        type(trial.screen).__name__ == "CompareScreen" and len(trial.screen.columns) == len(QUANTIZATIONS)
    ),
    "compare-strengths": is_open("CompareScreen"),
    "reuse": lambda trial: (trial.screen is trial.app.dashboard, trial.app.choices.prompt) == (True, FOX.prompt),
    "more": is_open("Menu"),
    "trash": is_open("Confirm"),
    "use-as": is_open("Menu"),
    "before": lambda trial: type(trial.screen).__name__ == "CompareScreen" and trial.screen.comparison.reference.read,
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
    **{name: holds for name, holds in OF_A_PICTURE.items() if "compare" not in name and name != "before"},
    "back": is_open("GalleryScreen"),
    "compare-left": at(0),
    "compare-right": at(2),
    "compare-open": is_open("Viewer"),
    "flicker": mode("flicker"),
    "difference": mode("difference"),
    "stronger": lambda trial: trial.screen._amplified == 16,
    "weaker": lambda trial: trial.screen._amplified == 4,
    "sheet": lambda trial: list(trial.folder.glob("compare-*.png")),
    "queue-missing": lambda trial: len(trial.backend.enqueued) == len(QUANTIZATIONS) - 1,
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


@dataclass(frozen=True)
class Place:
    """Where keys are pressed."""

    keys: tuple[Key, ...]
    holds: dict[str, Holds]
    screen: type
    """On top."""
    fill: Callable[[Path], None]
    """Puts pictures into the folder."""
    enter: Callable[[Trial], Awaitable[object]]
    """Goes there from the dashboard."""
    only: tuple[str, ...] = ()
    """The keys that act here; all but those of other places of the same name, if empty."""
    size: tuple[int, int] = SIZE
    """Columns and rows."""


def _many(folder: Path) -> None:
    for number in range(1, COUNT + 1):
        pictures = (Attachment(digest="a" * 64),)
        made(folder, f"p{number:02}", 1000 - number, seed=number, loras=(Lora("ink", "d"),), references=pictures)


def _levels(folder: Path, *levels: str) -> None:
    for number, level in enumerate(levels or QUANTIZATIONS):
        made(folder, level, 9 - number, quantization=level, color=(100 + number, 100, 100))


async def _gallery(trial: Trial) -> None:
    await trial.pilot.press("escape", "3")
    await until(trial.pilot, lambda: isinstance(trial.screen, GalleryScreen) and trial.screen.browser.is_mounted)
    await resting(trial.pilot)
    await _go_to_the_fifth(trial)


async def _go_to_the_fifth(trial: Trial) -> None:
    """Put the gallery's cursor there, where all pictures are shown."""
    pictures = trial.screen.browser.pictures
    if len(pictures) == COUNT:
        trial.screen.browser.go_to(pictures[4].path)
        await resting(trial.pilot)


async def _viewer(trial: Trial) -> None:
    await _gallery(trial)
    await trial.pilot.press("enter")
    await until(trial.pilot, lambda: isinstance(trial.screen, Viewer) and trial.screen.view._image is not None)
    await settled(trial.pilot)


async def _zoomed(trial: Trial) -> None:
    await _viewer(trial)
    await trial.pilot.resize_terminal(60, 16)
    await trial.pilot.press("z")
    await settled(trial.pilot)


async def _compare(trial: Trial) -> None:
    await _gallery(trial)
    await trial.pilot.press("c")
    await comparing(trial.pilot, len(QUANTIZATIONS))
    await settled(trial.pilot)


async def _difference(trial: Trial) -> None:
    await _compare(trial)
    await trial.pilot.press("d")
    await settled(trial.pilot)


async def _lacking(trial: Trial) -> None:
    await _gallery(trial)
    trial.backend.refuses = "The queue is full."
    await trial.pilot.press("c")
    screen = await comparing(trial.pilot, 1)
    await until(trial.pilot, lambda: screen.check_action("retry", ()))
    trial.backend.refuses = ""
    await settled(trial.pilot)


async def _models(trial: Trial) -> None:
    await open_models(trial.app, trial.pilot, "klein-4b")
    await settled(trial.pilot)


async def _downloading(trial: Trial) -> None:
    trial.backend.feed(ev.DownloadProgress(model="klein-4b", state="downloading", done=GB, total=16 * GB))
    await _models(trial)
    await until(trial.pilot, lambda: trial.screen.check_action("pause", ()))


async def _deletable(trial: Trial) -> None:
    await open_models(trial.app, trial.pilot, "klein-base-4b")
    await until(trial.pilot, lambda: trial.screen.check_action("delete", ()))


async def _form(trial: Trial) -> None:
    form = trial.app.dashboard.query_one(SettingsForm)
    form.focus()
    form.selected = QUANTIZATION
    await settled(trial.pilot)


ALL_GALLERY_KEYS = (*GALLERY_KEYS, *BROWSER_KEYS)
PLACES = {
    "gallery": Place(ALL_GALLERY_KEYS, GALLERY, GalleryScreen, _many, _gallery),
    "viewer": Place(VIEWER_KEYS, VIEWER, Viewer, _many, _viewer, size=SMALL),
    "viewer, zoomed in": Place(VIEWER_KEYS, VIEWER, Viewer, _many, _zoomed, ("view-up", "view-down")),
    "compare": Place(COMPARE_KEYS, COMPARE, CompareScreen, _levels, _compare, size=SMALL),
    "compare, of which some are missing": Place(
        COMPARE_KEYS, COMPARE, CompareScreen, lambda folder: _levels(folder, "bf16"), _lacking, ("queue-missing",)
    ),
    "compare, with the difference": Place(
        COMPARE_KEYS, COMPARE, CompareScreen, _levels, _difference, ("stronger", "weaker")
    ),
    "models": Place(MODELS_KEYS, MODELS, ModelsScreen, lambda _: None, _models),
    "models, of which one comes": Place(
        MODELS_KEYS, MODELS, ModelsScreen, lambda _: None, _downloading, ("pause", "cancel-download")
    ),
    "models, of which one is here": Place(
        MODELS_KEYS, MODELS, ModelsScreen, lambda _: None, _deletable, ("delete-model",)
    ),
    "form": Place(SETTINGS_KEYS, FORM, Dashboard, lambda _: None, _form),
}


def _pressed_at(name: str) -> list[tuple[Key, str]]:
    """The keys to be pressed there."""
    place = PLACES[name]
    elsewhere = {key for it in PLACES.values() if it.holds is place.holds for key in it.only}
    wanted = [key for key in place.keys if (key.id in place.only if place.only else key.id not in elsewhere)]
    return [(key, pressed) for key in wanted if key is not REDRAW for pressed in key.keys.split(",")]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A picture folder of its own, on a machine reached over ssh."""
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path / "pictures"))
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    yield tmp_path / "pictures"


def test_every_key_has_a_line_and_is_pressed() -> None:
    for place in PLACES.values():
        ids = {key.id for key in place.keys if key is not REDRAW}
        assert ids == set(place.holds)
        pressed = [_pressed_at(name) for name, it in PLACES.items() if it.holds is place.holds]
        assert ids == {key.id for some in pressed for key, _ in some}


@pytest.mark.parametrize("name", PLACES)
async def test_the_keys_do_what_their_help_says(name: str, elsewhere: Path) -> None:
    place, filled = PLACES[name], elsewhere.with_name("filled")
    filled.mkdir()
    place.fill(filled)

    @asynccontextmanager
    async def start() -> AsyncIterator[Trial]:
        shutil.rmtree(elsewhere, ignore_errors=True)
        shutil.copytree(filled, elsewhere)
        backend = ReplayBackend()
        async with running(backend, place.size, remote=True) as (app, pilot):
            trial = Trial(app, pilot, backend, elsewhere)
            await place.enter(trial)
            yield trial

    async def come_back(trial: Trial) -> None:
        await trial.put_back(place.screen)
        if type(trial.screen) is not place.screen:
            await place.enter(trial)
        elif isinstance(trial.screen, GalleryScreen):
            await _go_to_the_fifth(trial)

    await press_each(_pressed_at(name), place.holds, start, come_back)
