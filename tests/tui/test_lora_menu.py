"""The menu of LoRAs: what is there, what fits, several at once by keys; and where the chosen ones are told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from flux2.architecture.transformer import transformer_shapes
from flux2.inputs.loras import Lora
from flux2.pictures.strength_set import strength_set
from flux2.request import GenerationRequest
from flux2.store.configs import find_networks
from tests.tui.replay import ReplayBackend, events_of_a_run
from tests.tui.screen import running, settled, text_of, until
from tests.unit.lora_files import LAYOUTS, save_lora, some_changes
from tests.unit.test_lora_refusals import file_of, pair
from tui.keys.keymap import KEYS
from tui.lines.lora_lines import strengthened, switched
from tui.screens.lora_menu import LoraMenu
from tui.state.comparison import Comparison


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    monkeypatch.setenv("FLUX2_LORAS", str(folder))
    changes = dict(list(some_changes(transformer_shapes(find_networks("pocket").transformer)).items())[8:12])
    save_lora(folder / "ink.safetensors", LAYOUTS["kohya"](changes))
    save_lora(folder / "woodcut.safetensors", LAYOUTS["diffusers"](changes))
    file_of(folder / "zdev.safetensors", pair("transformer.transformer_blocks.0.attn.to_q", 6144, 6144))
    return folder


@pytest.mark.usefixtures("folder")
async def test_several_are_chosen_and_weighed_by_keys() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "o")
        await until(pilot, lambda: "woodcut" in text_of(app))
        assert isinstance(app.screen, LoraMenu)
        shown = text_of(app)
        assert "does not fit" in shown and "changes 4 of 33 matrices" in shown
        await pilot.press("space", "minus", "minus", "down", "enter")
        assert app.choices.loras == (Lora("ink", scale=0.8), Lora("woodcut"))
        await pilot.press("down", "space")
        assert app.choices.loras == (Lora("ink", scale=0.8), Lora("woodcut"))
        assert "FLUX.2 Dev" in " ".join(text_of(app).split())
        await pilot.press("up", "space", "escape")
        await settled(pilot)
        assert app.choices.loras == (Lora("ink", scale=0.8),)
        assert "pocket + ink@0.8" in text_of(app)


@pytest.mark.usefixtures("folder")
async def test_another_place_is_typed() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "o")
        await until(pilot, lambda: "woodcut" in text_of(app))
        await pilot.press("tab", *"owner/name:turbo@99", "enter")
        assert app.choices.loras == () and "out of range" in text_of(app)
        await pilot.press("backspace", "backspace", *"0.5", "enter")
        await until(pilot, lambda: "owner/name:turbo" in text_of(app))
        assert app.choices.loras == (Lora("owner/name:turbo", scale=0.5),)


async def test_an_empty_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_LORAS", str(tmp_path / "none"))
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "o")
        await until(pilot, lambda: "There are none in" in text_of(app))
        await pilot.press("space", "plus")
        assert app.choices.loras == ()


def test_strengths_stay_within_bounds_and_begin_at_nothing() -> None:
    loras = strengthened((), "ink", 0.1)
    assert loras == (Lora("ink", scale=0.1),)
    for _ in range(300):
        loras = strengthened(loras, "ink", 0.1)
    assert loras == (Lora("ink", scale=10.0),)
    assert switched(loras, "ink") == ()


def test_a_comparison_of_strengths() -> None:
    asked = GenerationRequest(prompt="a fox", seed=1, loras=(Lora("ink", "d", 0.8), Lora("woodcut", "e")))
    without, half, full = Comparison.of_strengths(asked).entries
    assert [entry.label for entry in (without, half, full)] == ["without", "half strength", "full strength"]
    assert full.request == asked
    assert half.request is not None and [lora.scale for lora in half.request.loras] == [0.4, 0.5]
    assert without.request is not None and [lora.scale for lora in without.request.loras] == [0.0, 0.0]
    assert list(strength_set(replace(asked, output="x.png")).values()) == [without.request, half.request, asked]


async def test_strengths_are_offered_where_there_are_some() -> None:
    key = next(key for key in KEYS if key.id == "compare-strengths")
    async with running(ReplayBackend(past=tuple(events_of_a_run(7)))) as (app, pilot):
        await settled(pilot)
        run = app.session.run
        assert run is not None and not app.dashboard.check_action(key.action, ())
        run.request = {**run.request, "loras": [{"name": "ink", "digest": "d", "scale": 1.0}]}
        assert app.dashboard.check_action(key.action, ())
