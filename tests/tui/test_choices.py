"""What the user chose: remembered, and turned into requests."""

from __future__ import annotations

import json
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest

from flux2.architecture.catalog import MODELS
from flux2.errors import RequestError
from flux2.inputs.checks import MAX_SEED
from flux2.request import GenerationRequest
from flux2.request_fields import said_of
from tests.tui.full_request import FULL
from tui.state.choices import Choices, load_choices, save_choices
from tui.state.stepping import stepped
from tui.widgets.settings_pane import ROWS, SettingsForm

SOME = Choices(
    prompt="a fox, “quoted”\nin two lines",
    model="klein-4b",
    quantization="int4",
    residency="streamed",
    width=512,
    height=512,
    steps=6,
    guidance=2.5,
    seed=7,
    seed_mode="locked",
)


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state" / "screen.json"
    save_choices(path, SOME)
    assert load_choices(path) == SOME
    assert [file.name for file in path.parent.iterdir()] == ["screen.json"]


def test_a_failed_save_leaves_the_old_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "screen.json"
    save_choices(path, SOME)
    monkeypatch.setattr("flux2.disk.atomic._write", lambda *_, **__: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        save_choices(path, replace(SOME, prompt="lost"))
    assert load_choices(path) == SOME
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", ["", "[]", "{", '"text"', "\x00\x01", "[" * 9999])
def test_a_broken_file_means_the_defaults(tmp_path: Path, content: str) -> None:
    path = tmp_path / "screen.json"
    path.write_text(content)
    notes: list[str] = []
    assert load_choices(path, notes=notes) == Choices()
    (aside,) = tmp_path.iterdir()
    assert aside.read_text() == content
    assert notes == [f"The last choices can't be read; their file is now {aside.name}."]


def test_half_of_a_character_is_no_reason_to_lose_the_prompt(tmp_path: Path) -> None:
    save_choices(tmp_path / "screen.json", Choices(prompt="caf\udce9"))
    assert load_choices(tmp_path / "screen.json").prompt == "caf\udce9"


def test_only_the_value_that_makes_no_sense_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "screen.json"
    path.write_text(json.dumps({"prompt": "kept", "quantization": "q3", "steps": "many", "seed": True, "new": 1}))
    assert load_choices(path) == Choices(prompt="kept")


def test_another_model_brings_its_own_numbers() -> None:
    other = SOME.with_model("klein-base-4b")
    card = MODELS["klein-base-4b"]
    assert (other.step_count, other.guidance_scale) == (card.steps, card.guidance)
    assert other.size == (512, 512)  # that model knows this size, too
    assert SOME.with_model("pocket").size == MODELS["pocket"].size
    assert other.prompt == SOME.prompt


def test_a_request_has_a_seed_of_its_own_in_random_mode() -> None:
    choices = replace(SOME, seed_mode="random")
    seeds = {choices.request().seed for _ in range(20)}
    assert len(seeds) > 1
    assert None not in seeds
    assert SOME.request().seed == 7


def test_an_impossible_choice_is_refused_before_it_is_sent() -> None:
    with pytest.raises(RequestError, match="prompt is empty"):
        replace(SOME, prompt="  ").request()
    with pytest.raises(RequestError, match="multiple of 16"):
        replace(SOME, width=513).request()


def test_the_seed_moves_on_as_its_mode_says() -> None:
    for mode, expected in (("random", 7), ("locked", 7), ("+1", 8)):
        choices = replace(SOME, seed_mode=mode)
        assert choices.after(replace(choices.request(), seed=7)).seed == expected
    last = replace(SOME, seed=MAX_SEED, seed_mode="+1")
    assert last.after(last.request()).seed == 0


def test_locking_keeps_the_seed_of_the_picture_one_likes() -> None:
    choices = Choices(seed_mode="random")
    assert choices.next_seed_mode(1, 99).seed == 99
    assert choices.next_seed_mode(1, 99).seed_mode == "locked"
    assert choices.next_seed_mode(-1, 99) == replace(choices, seed_mode="+1", seed=100)


@pytest.mark.parametrize(
    ("setting", "read", "expected"),
    [
        ("model", lambda c: c.model, "klein-9b"),
        ("quantization", lambda c: c.quantization, "auto"),
        ("size", lambda c: c.size, (768, 768)),
        ("steps", lambda c: c.steps, 7),
        ("guidance", lambda c: c.guidance, 3.0),
        ("seed", lambda c: c.seed, 8),
    ],
)
def test_an_arrow_goes_one_further(setting: str, read: object, expected: object) -> None:
    assert read(stepped(SOME, setting, 1, None)) == expected  # type: ignore[operator]


def test_arrows_stop_at_the_ends_of_numbers_and_go_round_lists() -> None:
    assert stepped(replace(SOME, steps=1), "steps", -1, None).steps == 1
    assert stepped(replace(SOME, guidance=0.0), "guidance", -1, None).guidance == 0.0
    assert stepped(Choices(quantization="bf16"), "quantization", -1, None).quantization == "auto"
    assert stepped(Choices(model="pocket"), "model", -1, None).model == list(MODELS)[-1]


def test_a_seed_that_is_counted_does_not_begin_with_the_last_picture_again() -> None:
    locked = Choices(seed_mode="random").next_seed_mode(1, 99)
    assert locked.next_seed_mode(1, 99).seed == 100
    assert replace(locked, seed=7).next_seed_mode(1, 99).seed == 7


@pytest.mark.parametrize("field", fields(GenerationRequest), ids=lambda field: field.name)
def test_every_field_of_a_request_is_taken_over(field: Field[Any]) -> None:
    assert getattr(FULL, field.name) != field.default
    assert getattr(Choices().with_request(FULL).request(), field.name) == getattr(FULL, field.name)


@pytest.mark.parametrize("field", fields(GenerationRequest), ids=lambda field: field.name)
def test_what_is_no_matter_of_one_run_is_remembered(tmp_path: Path, field: Field[Any]) -> None:
    chosen = Choices().with_request(FULL)
    save_choices(tmp_path / "screen.json", chosen)
    kept = getattr(load_choices(tmp_path / "screen.json"), field.name)
    assert kept == (field.default if said_of(field).of_run else getattr(chosen, field.name))


def test_another_model_has_its_own_autoencoder() -> None:
    assert replace(SOME, vae="a/small-decoder").with_model("klein-9b").vae is None


def test_every_row_of_the_settings_is_some_field_s() -> None:
    rows = {said_of(field).row for field in fields(GenerationRequest)} - {""}
    assert rows == {row.name for row in ROWS}


def test_parts_of_another_model_are_named_with_the_model_and_where_there_is_room_told() -> None:
    form = SettingsForm()
    form.choices = replace(SOME, vae="a/small\x1b-decoder", text_encoder="b.safetensors")
    assert form._value(ROWS[0]).endswith(" + vae + text encoder")
    assert "with vae a/small" in form._note(ROWS[0]) and "and text encoder b.safetensors" in form._note(ROWS[0])
    assert "\x1b" not in form._note(ROWS[0])
