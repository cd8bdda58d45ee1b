"""What CONTRIBUTING says is done to add something is done here, at run time, and arrives."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flux2 import Flux2Pipeline
from flux2.architecture.catalog import MODELS, find_card
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.asker import Asker
from flux2.checkpoint import files
from flux2.cli import main
from flux2.errors import CheckpointError
from flux2.events import EVENT_TYPES, Event, from_wire, to_wire
from flux2.worker.command_handlers import CommandHandlers
from flux2.worker.commands import COMMANDS, Command, read_answer, read_command, write_answer
from tests.tui.replay import ReplayBackend
from tests.tui.screen import running, settled, text_of
from tests.unit.checkpoints import edit_json, writable_copy
from tests.unit.one_more_field import check_that_it_arrives
from tui.keys.bindings import bindings
from tui.keys.keymap import ALL_KEYS, Key
from tui.screens.commands import commands_of
from tui.screens.dashboard import Dashboard
from tui.state import session, themes
from tui.state.session import Session

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
SECTIONS = {
    title: re.findall(r"^- `([^`]+)` `([^`]+)`: ", body, re.MULTILINE)
    for title, body in re.findall(r"^### (.+)\n((?:(?!^#).*\n?)*)", GUIDE, re.MULTILINE)
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("title", SECTIONS)
def test_the_files_of_each_list_hold_what_is_named(title: str) -> None:
    assert SECTIONS[title]
    for path, name in SECTIONS[title]:
        assert name in (ROOT / path).read_text(encoding="utf-8"), f"{title}: {path} has no {name}"


def test_every_list_is_tried() -> None:
    tried = {name.removeprefix("test_add_").replace("_", " ") for name in globals() if name.startswith("test_add_")}
    assert tried == {title.lower().replace("'", "") for title in SECTIONS}


def test_one_test_is_run_as_told() -> None:
    told = re.findall(r"^\.venv/bin/pytest (tests/\S+)", GUIDE, re.MULTILINE)
    assert told and all((ROOT / path).is_file() for path in told)


def test_add_a_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    card = replace(MODELS["klein-4b"], name="sketch", title="Sketch", repo="somebody/FLUX.2-sketch")
    monkeypatch.setitem(MODELS, "sketch", card)
    monkeypatch.setitem(ARCHITECTURES, "sketch", ARCHITECTURES["klein-4b"])
    assert find_card("somebody/FLUX.2-sketch") is card
    assert main(["models"]) == 0
    assert "sketch" in capsys.readouterr().out
    assert main(["plan", "--model", "sketch"]) == 0
    assert "int4" in capsys.readouterr().out


def test_add_a_text_encoder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = writable_copy(ROOT / "tests" / "parity" / "recordings" / "distilled" / "checkpoint", tmp_path / "model")
    edit_json(folder / "text_encoder" / "config.json", architectures=["OtherForCausalLM"])
    with pytest.raises(CheckpointError, match="OtherForCausalLM"):
        Flux2Pipeline.from_pretrained(folder)
    row = replace(TEXT_ENCODERS["Qwen3ForCausalLM"], class_name="OtherForCausalLM")
    monkeypatch.setitem(TEXT_ENCODERS, row.class_name, row)
    # Made of the table when the module was loaded.
    monkeypatch.setitem(
        files.CHECKPOINT_PARTS,
        "text_encoder",
        replace(files.CHECKPOINT_PARTS["text_encoder"], classes=tuple(TEXT_ENCODERS)),
    )
    picture = Flux2Pipeline.from_pretrained(folder)("a fox", width=64, height=64, num_inference_steps=1, seed=1)
    assert picture.images[0].size == (64, 64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warmed(Event):
    degrees: int


def test_add_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(EVENT_TYPES, "Warmed", Warmed)
    monkeypatch.setitem(
        session._HANDLERS, Warmed, lambda known, event: known.say("info", f"{event.degrees} degrees", event.time)
    )
    sent, _ = to_wire(Warmed(degrees=70, time=1.0))
    screen = Session()
    assert screen.apply(from_wire(json.loads(json.dumps(sent))))
    assert screen.log[-1].message == "70 degrees"


@pytest.fixture
def no_new_commands() -> Iterator[None]:
    known = set(COMMANDS)
    yield
    for name in set(COMMANDS) - known:
        del COMMANDS[name]


@pytest.mark.usefixtures("no_new_commands")
def test_add_a_workers_command() -> None:
    @dataclass(frozen=True, slots=True)
    class Greeting:
        words: str

    @dataclass(frozen=True, slots=True)
    class Greet(Command[Greeting]):
        name_of_user: str

    def greet(_: CommandHandlers, command: Greet, __: Asker) -> Greeting:
        return Greeting(f"Hello, {command.name_of_user}.")

    CommandHandlers.carry_out.register(Greet, greet)
    handlers = CommandHandlers(None, None, count_tokens=lambda *_: None, break_off_later=lambda *_: None)  # type: ignore
    command = read_command("greet", {"name_of_user": "you"})
    answer = json.loads(json.dumps(write_answer(handlers.carry_out(command, None))))
    assert read_answer(command, answer) == Greeting("Hello, you.")


async def test_add_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    key = Key("greet", "f12", "greet", "Look", "Greet", "Say hello", "hello")
    greeted: list[Dashboard] = []
    for module in [module for module in sys.modules.values() if getattr(module, "ALL_KEYS", None) is ALL_KEYS]:
        monkeypatch.setattr(module, "ALL_KEYS", (*ALL_KEYS, key))
    monkeypatch.setattr(Dashboard, "KEYS", (*Dashboard.KEYS, key))
    monkeypatch.setattr(Dashboard, "BINDINGS", bindings(Dashboard.KEYS))
    monkeypatch.setattr(Dashboard, "_merged_bindings", Dashboard._merge_bindings())
    monkeypatch.setattr(Dashboard, "action_greet", lambda dashboard: greeted.append(dashboard), raising=False)
    async with running(ReplayBackend(), size=(200, 40)) as (app, pilot):
        assert "Greet" in [command.title for command in commands_of(app, app.screen)]
        await pilot.press("escape")
        await settled(pilot)
        assert "f12 hello" in text_of(app).splitlines()[-1]
        await pilot.press("f12")
        assert greeted == [app.dashboard]


def test_add_a_theme() -> None:
    assert "dusk" not in themes.load_themes()[0]
    folder = themes.config_dir() / "themes"
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "themes" / "midnight.toml", folder / "dusk.toml")
    found, complaints = themes.load_themes()
    assert "dusk" in found and not complaints


def test_add_an_option_of_a_request(tmp_path: Path) -> None:
    check_that_it_arrives(tmp_path)
