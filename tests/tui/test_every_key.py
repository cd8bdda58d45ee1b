"""Every key of the dashboard does what its help says: one line per key, and no key without a line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
from textual.command import CommandPalette

from flux2.inputs.attachment import Attachment
from tests.tui.pressing import Trial, press_each
from tests.tui.replay import INFO, REQUEST, ReplayBackend, events_of_a_run, left_after, queue_of
from tests.tui.screen import running, settled
from tui.app import Flux2App
from tui.keys.keymap import KEYS, PICTURES_IN_KEYS, PROMPT_KEYS, QUEUE_KEYS, REDRAW, Key
from tui.screens.dashboard import Dashboard
from tui.widgets.pictures_in_pane import PictureCards
from tui.widgets.queue_pane import QueueList

SEED = int(str(REQUEST["seed"]))


@dataclass
class Case:
    """What is true after the key; before it, as far as it needs, the state of `prepare`."""

    done: Callable[[Flux2App, ReplayBackend], object]
    prepare: Callable[[Flux2App], object] = lambda _: None
    focus: str = ""
    """Where the key is pressed: "" outside all fields, "prompt", "queue" or "pictures"."""
    backend: Callable[[], ReplayBackend] = field(default=lambda: busy())


def busy() -> ReplayBackend:
    """A worker in the middle of a run, with three more waiting and a model loaded."""
    info = replace(INFO, model="klein-9b int4")
    return ReplayBackend(past=tuple(events_of_a_run(7)), queue=queue_of("one", "two", "three", "four"), info=info)


def finished() -> ReplayBackend:
    return ReplayBackend(past=tuple(events_of_a_run(12)))


def lost() -> ReplayBackend:
    return ReplayBackend(fails="The worker can't be started (No space left on device).")


def screen(name: str) -> Callable[[Flux2App, ReplayBackend], bool]:
    return lambda app, _: type(app.screen).__name__ == name


def editor_of(app: Flux2App) -> str:
    return app.dashboard.prompt.editor.text


def asked(backend: ReplayBackend) -> list[str]:
    return [request.prompt for request in backend.enqueued]


def cards_of(app: Flux2App) -> PictureCards:
    return app.dashboard.pictures_in.strip


def references_of(app: Flux2App) -> str:
    return "".join(picture.name for picture in app.choices.references)


def with_a_lora(app: Flux2App) -> None:
    """Let the run under way use one."""
    run = app.session.run
    assert run is not None
    run.request = {**run.request, "loras": [{"name": "ink", "digest": "d", "scale": 1.0}]}


CASES: dict[str, Case] = {
    "run": Case(lambda _, b: asked(b) == ["a fox"]),
    "run-letter": Case(lambda _, b: asked(b) == ["a fox"]),
    "cancel": Case(screen("Confirm")),
    "reject": Case(
        lambda _, b: (asked(b), b.cancelled, [by < -100 for _, by in b.moved]) == ([REQUEST["prompt"]], ["r1"], [True])
    ),
    "more-like-this": Case(screen("Menu")),
    "hold": Case(lambda _, b: b.held == [True]),
    "give-up": Case(
        lambda a, _: (a.dashboard.edited.run, editor_of(a)) == ("", "a fox"),
        lambda a: a.dashboard.edited.begin(a, "r2"),
    ),
    "unfinished": Case(screen("Menu"), backend=lambda: ReplayBackend(unfinished=(left_after(3),))),
    "unload": Case(lambda _, b: b.unloads == 1),
    "prompt": Case(lambda a, _: a.focused is a.dashboard.prompt.editor),
    "model": Case(screen("Menu")),
    "quantization": Case(screen("Menu")),
    "dimensions": Case(screen("Menu")),
    "steps": Case(screen("SamplingDialog")),
    "seed": Case(screen("SamplingDialog")),
    "lock": Case(lambda a, _: (a.choices.seed_mode, a.choices.seed) == ("locked", SEED)),
    "editor": Case(lambda a, _: editor_of(a) == "a fox, edited"),
    "history": Case(screen("HistorySearch"), lambda a: a.prompt_history.add("an old one")),
    "picture-settings": Case(screen("TextDialog")),
    "dashboard": Case(lambda a, _: not a.dashboard.has_class("-alone"), lambda a: a.dashboard.action_view("log")),
    "preview": Case(lambda a, _: a.dashboard.preview.has_class("-shown")),
    "gallery": Case(screen("GalleryScreen")),
    "models": Case(screen("ModelsScreen")),
    "log": Case(lambda a, _: a.dashboard.log_pane.has_class("-shown")),
    "maximize": Case(lambda a, _: a.dashboard.memory.has_class("-shown")),
    "window": Case(lambda a, _: a.dashboard.memory.heading.title == "Memory, 2 min"),
    "theme": Case(screen("Menu")),
    "favourite": Case(lambda a, _: "is not there any more" in a.session.log[-1].message, backend=finished),
    "compare": Case(screen("CompareScreen")),
    "compare-strengths": Case(screen("CompareScreen"), lambda a: with_a_lora(a)),
    "loras": Case(screen("LoraMenu")),
    "preferences": Case(screen("SettingsScreen")),
    "restart": Case(lambda _, b: b.restarts == 1, backend=lost),
    "next-pane": Case(lambda a, _: a.focused is a.dashboard.settings.form, focus="prompt"),
    "palette": Case(lambda a, _: isinstance(a.screen, CommandPalette)),
    "help": Case(screen("Help")),
    "quit": Case(lambda _, b: b.closed),
    "quit-letter": Case(lambda _, b: b.closed),
    "leave": Case(lambda a, _: a.focused is None, focus="prompt"),
    "older": Case(
        lambda a, _: editor_of(a) == "an old one", lambda a: a.prompt_history.add("an old one"), focus="prompt"
    ),
    "newer": Case(
        lambda a, _: editor_of(a) == "a fox",
        lambda a: (a.prompt_history.add("an old one"), a.dashboard.prompt.editor.action_cursor_up()),
        focus="prompt",
    ),
    "example": Case(
        lambda a, _: "tabby cat" in editor_of(a), lambda a: a.dashboard.prompt.editor.load_text(""), focus="prompt"
    ),
    "sooner": Case(lambda _, b: b.moved == [("r3", -1)], focus="queue"),
    "later": Case(lambda _, b: b.moved == [("r3", 1)], focus="queue"),
    "edit-queued": Case(lambda a, _: (a.dashboard.edited.run, editor_of(a)) == ("r3", "three"), focus="queue"),
    "remove": Case(lambda _, b: b.removed == ["r3"], focus="queue"),
    "pictures-in": Case(screen("Menu")),
    "picture-before": Case(lambda a, _: cards_of(a).selected == 0, focus="pictures"),
    "picture-after": Case(lambda a, _: cards_of(a).selected == 2, focus="pictures"),
    "picture-sooner": Case(lambda a, _: references_of(a) == "bac", focus="pictures"),
    "picture-later": Case(lambda a, _: references_of(a) == "acb", focus="pictures"),
    "picture-open": Case(screen("Menu"), focus="pictures"),
    "picture-away": Case(lambda a, _: references_of(a) == "ac", focus="pictures"),
}
TABLE = tuple(
    key for key in (*KEYS, *PROMPT_KEYS, *QUEUE_KEYS, *PICTURES_IN_KEYS) if key is not REDRAW
)  # see test_redraw.py


def test_every_key_has_a_line() -> None:
    assert {key.id for key in TABLE} <= set(CASES)


def _groups() -> list[list[Key]]:
    """Keys that are pressed in the same state, together."""
    groups: dict[tuple[object, ...], list[Key]] = {}
    for key in TABLE:
        case = CASES[key.id]
        groups.setdefault((case.backend, case.prepare, case.focus), []).append(key)
    return list(groups.values())


@pytest.mark.parametrize("keys", [pytest.param(keys, id=",".join(key.id for key in keys)) for keys in _groups()])
async def test_the_keys_do_what_their_help_says(keys: list[Key], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES[keys[0].id]
    monkeypatch.setenv("EDITOR", "ed")
    monkeypatch.setattr("tui.screens.iterating.edit", lambda text, _: f"{text}, edited")
    monkeypatch.setattr(Flux2App, "suspend", lambda _: contextlib.nullcontext())

    async def enter(trial: Trial) -> None:
        app = trial.app
        app.dashboard.prompt.put("a fox")
        await settled(trial.pilot)
        case.prepare(app)
        if case.focus == "pictures":
            references = [Attachment(digest=name * 64, name=name, width=64, height=64) for name in "abc"]
            app.choose(replace(app.choices, references=tuple(references)))
        await settled(trial.pilot)
        if case.focus == "pictures":
            cards_of(app).focus()
            cards_of(app).selected = 1
        elif case.focus == "queue":
            queue = app.dashboard.query_one(QueueList)
            queue.focus()
            queue.highlighted = 2
        else:
            app.dashboard.set_focus(app.dashboard.prompt.editor if case.focus else None)
        await settled(trial.pilot)

    @asynccontextmanager
    async def start() -> AsyncIterator[Trial]:
        backend = case.backend()
        async with running(backend) as (app, pilot):
            trial = Trial(app, pilot, backend, folder)
            await enter(trial)
            yield trial

    async def come_back(trial: Trial) -> None:
        await trial.put_back(Dashboard)
        await enter(trial)

    holds = {key.id: partial(_done, key.id) for key in keys}
    await press_each([(key, pressed) for key in keys for pressed in key.keys.split(",")], holds, start, come_back)


def _done(key: str, trial: Trial) -> object:
    return CASES[key].done(trial.app, trial.backend)
