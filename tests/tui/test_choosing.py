"""Choosing what the next picture is to be: menus, forms, the prompt's editor."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flux2.architecture.catalog import MODELS
from flux2.paths import state_dir
from tests.tui.replay import ReplayBackend, mid_run
from tests.tui.screen import running, settled, text_of
from tests.unit.single_files import transformer_of_zeros
from tui.screens.menu import Menu
from tui.screens.sampling import SamplingDialog
from tui.state.choices import Choices, load_choices, save_choices
from tui.widgets.settings_pane import SettingsForm

CAT = "a fluffy orange tabby cat"


MenuAnswer = tuple[str, list[str], Callable[[Choices], object], object]
MENU_ANSWERS: list[MenuAnswer] = [
    ("n", ["i"], lambda c: c.quantization, "int4"),
    ("n", ["down", "enter"], lambda c: c.quantization, "qint8"),
    ("n", ["up", "enter"], lambda c: c.quantization, "auto"),
    ("n", ["r", "escape"], lambda c: (c.quantization, c.residency), ("bf16", "streamed")),
    ("n", ["r", "r", "i"], lambda c: (c.quantization, c.residency), ("int4", "auto")),
    ("n", ["escape"], lambda c: c.quantization, "bf16"),
    ("m", ["b"], lambda c: c.model, "klein-4b"),
    ("m", ["tab", *"me/mine", "enter"], lambda c: c.model, "me/mine"),
    ("d", ["b"], lambda c: c.size, (320, 192)),
    ("d", ["tab", *"640x480", "enter"], lambda c: c.size, (640, 480)),
    ("i", ["8", "enter"], lambda c: c.steps, 8),
    ("i", ["tab", *"2.5", "enter"], lambda c: c.guidance, 2.5),
    ("i", ["tab", "tab", *"blurry", "enter"], lambda c: c.negative_prompt, "blurry"),
    ("s", [*"99", "enter"], lambda c: (c.seed, c.seed_mode), (99, "locked")),
    ("s", [*"99", "ctrl+t", "enter"], lambda c: (c.seed, c.seed_mode), (99, "+1")),
]


@pytest.mark.parametrize(("key", "answer", "read", "expected"), MENU_ANSWERS)
async def test_menus_put_their_answer_into_the_choices(
    key: str, answer: list[str], read: Callable[[Choices], object], expected: object
) -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", key)
        await settled(pilot)
        assert isinstance(app.screen, Menu | SamplingDialog)
        await pilot.press(*answer)
        await settled(pilot)
        assert app.screen is app.dashboard
        assert read(app.choices) == expected


async def test_a_file_that_two_models_have_the_shapes_of_is_asked_about(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLUX2_WEIGHTS", str(tmp_path))
    named, mine = (transformer_of_zeros(tmp_path / name, "klein-4b") for name in ("klein-base-4b.sft", "mine.sft"))
    async with running(ReplayBackend(), size=(120, 50)) as (app, pilot):
        await pilot.press("escape", "m")
        await settled(pilot)
        assert "a file of klein-4b or klein-base-4b" in text_of(app)
        await pilot.press(*["down"] * len(MODELS), "enter")
        await settled(pilot)
        assert (app.choices.model, app.choices.base, app.choices.step_count) == (str(named), "klein-base-4b", 50)
        await pilot.press("m", *["down"], "enter")
        await settled(pilot)
        assert "mine.sft is of" in text_of(app)
        await pilot.press("a")
        await settled(pilot)
        assert (app.choices.model, app.choices.base, app.choices.step_count) == (str(mine), "klein-4b", 4)
        await pilot.press("m", "a")
        await settled(pilot)
        assert (app.choices.model, app.choices.base) == ("pocket", None)


@pytest.mark.parametrize(
    ("key", "typed", "said"),
    [
        ("d", ["tab", *"641x480"], "641 is not a multiple of 16"),
        ("d", ["tab", *"big"], "Write width x height"),
        ("i", [*"0"], "0 steps are out of range"),
        ("i", ["tab", *"much"], "Guidance 'much' is not a number"),
        ("s", [*"99999999999"], "out of range"),
    ],
)
async def test_what_is_typed_wrongly_is_said_at_once_and_not_taken(key: str, typed: list[str], said: str) -> None:
    async with running(ReplayBackend(), size=(80, 24)) as (app, pilot):
        before = app.choices
        await pilot.press("escape", key)
        await settled(pilot)
        dialog = app.screen
        await pilot.press(*typed)
        await settled(pilot)
        assert said in " ".join(text_of(app).split()).replace("│ │ ", "")
        await pilot.press("enter")
        await settled(pilot)
        assert app.screen is dialog
        assert app.choices == before


async def test_a_menu_opens_on_the_current_value() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.choose(replace(app.choices, quantization="qint8"))
        await pilot.press("escape", "n", "enter")
        await settled(pilot)
        assert app.choices.quantization == "qint8"


@pytest.mark.parametrize(("size", "select", "change"), [((120, 40), "down", "right"), ((80, 24), "right", "up")])
async def test_the_settings_form_is_worked_with_arrows(size: tuple[int, int], select: str, change: str) -> None:
    async with running(ReplayBackend(), size=size) as (app, pilot):
        await pilot.press("tab")
        assert isinstance(app.focused, SettingsForm)
        await pilot.press(select, change)
        await settled(pilot)
        assert app.choices.quantization == "qint8"
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, Menu)


async def test_the_seed_mode_key_goes_round() -> None:
    async with running(mid_run()) as (app, pilot):
        await pilot.press("escape", "l")
        assert (app.choices.seed_mode, app.choices.seed) == ("locked", 1234)
        await pilot.press("l")
        assert app.choices.seed_mode == "+1"
        await pilot.press("l")
        assert app.choices.seed_mode == "random"


async def test_the_prompt_editor_leads_into_the_history() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.prompt_history.add("the first")
        app.prompt_history.add("the second")
        await pilot.press(*"draft", "up")
        editor = app.dashboard.prompt.editor
        assert editor.text == "the second"
        assert "history 2 of 2" in text_of(app)
        await pilot.press("up")
        assert editor.text == "the first"
        await pilot.press("down", "down")
        assert editor.text == "draft"


async def test_arrows_move_within_a_prompt_of_several_lines() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.prompt_history.add("an old one")
        await pilot.press(*"one", "enter", *"two", "up")
        assert app.dashboard.prompt.editor.text == "one\ntwo"
        await pilot.press("up")
        assert app.dashboard.prompt.editor.text == "an old one"


async def test_letters_are_text_in_the_editor_and_commands_outside() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press(*"gqmn")
        assert app.screen is app.dashboard
        assert app.dashboard.prompt.editor.text == "gqmn"
        await pilot.press("escape")
        assert app.focused is None
        await pilot.press("enter")
        assert app.focused is app.dashboard.prompt.editor


async def test_everything_chosen_is_there_after_a_restart() -> None:
    chosen = Choices(prompt=CAT, model="klein-4b", quantization="int4", width=768, height=768, steps=6)
    save_choices(state_dir() / "screen.json", chosen)
    async with running(ReplayBackend()) as (app, pilot):
        assert app.choices == chosen
        assert app.dashboard.prompt.editor.text == CAT
        await pilot.press(*"!")
        await asyncio.sleep(0.9)
        await pilot.pause()
        assert load_choices(state_dir() / "screen.json").prompt == CAT + "!"


async def test_a_screen_where_nothing_was_changed_leaves_what_another_has_written() -> None:
    path = state_dir() / "screen.json"
    async with running(ReplayBackend()) as (_, pilot):
        save_choices(path, Choices(prompt="typed in another screen"))
        await pilot.press("ctrl+q")
    assert load_choices(path).prompt == "typed in another screen"
