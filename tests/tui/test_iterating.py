"""Ways from one picture to the next: wildcards, tokens, other pictures' settings, one's own editor, the queue."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual import events
from textual.pilot import Pilot

from flux2.errors import WorkerError
from flux2.inputs.wildcards import resolve
from flux2.pictures import found_again
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest
from flux2.request_fields import recipe
from flux2.worker.commands import Command, Move
from tests.tui.full_request import FULL
from tests.tui.replay import INFO, ReplayBackend, events_of_a_run, queue_of
from tests.tui.screen import running, settled, text_of, until
from tui.app import Flux2App
from tui.screens.iterating import next_try
from tui.state.choices import Choices
from tui.terminal.editor import EditorError, edit, editor_command
from tui.terminal.pasted_paths import pasted_path, pasted_paths
from tui.widgets.queue_pane import QueueList

REQUESTED = GenerationRequest(prompt="a red fox", model="klein-4b", quantization="int4", width=512, height=256, seed=7)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    metadata = ImageMetadata(request=replace(REQUESTED, steps=6, guidance=2.0))
    return save_png(Image.new("RGB", (8, 8)), tmp_path / "a fox.png", metadata)


async def test_wildcards_become_what_the_seed_says_and_the_template_is_kept() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, seed_mode="+1", seed=3))
        app.dashboard.prompt.put("a {red|blue} fox")
        await settled(pilot)
        assert "2 prompts in one" in text_of(app)
        await pilot.press("ctrl+j", "ctrl+j")
        await settled(pilot)
        assert [request.prompt for request in backend.enqueued] == [
            resolve("a {red|blue} fox", seed) for seed in (3, 4)
        ]
        assert {request.prompt_template for request in backend.enqueued} == {"a {red|blue} fox"}
        assert app.prompt_history.entries == ["a {red|blue} fox"]
        written = json.loads((app.options.state / "prompts.jsonl").read_text().splitlines()[0])
        assert written == {"prompt": "a {red|blue} fox", "resolved": resolve("a {red|blue} fox", 3)}


async def test_tokens_are_estimated_until_the_worker_has_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.screens.dashboard.COUNT_AFTER", 0.4)
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press(*"a fox in the snow")
        await pilot.pause()
        assert "≈ 16 of 512 tokens" in text_of(app)
        await until(pilot, lambda: "5 of 64 tokens" in text_of(app))
        assert "≈" not in text_of(app).splitlines()[1]
        await pilot.press(*"!")
        await pilot.pause()
        assert "≈ 16 of 64 tokens" in text_of(app)


async def test_tokens_of_a_single_file_are_those_of_the_model_that_it_is_of() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.choose(app.choices.with_model("/models/mine.gguf", "pocket"))
        await pilot.press(*"a fox")
        await until(pilot, lambda: "2 of 64 tokens" in text_of(app))


async def test_what_was_typed_before_the_worker_was_ready_is_counted_once_it_is() -> None:
    backend = ReplayBackend(info=replace(INFO, ready=False))
    async with running(backend) as (app, pilot):
        await pilot.press(*"a fox in the snow")
        await settled(pilot)
        assert "≈ 16 of 512 tokens" in text_of(app)
        backend.feed(INFO)
        await settled(pilot)
        assert " 5 of 64 tokens" in text_of(app)


async def test_a_prompt_too_long_to_be_counted_is_set_against_the_models_own_limit() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        app.dashboard.prompt.editor.text = "cat " * 6000
        await settled(pilot)
        assert "≈ 5593 of 64 tokens" in text_of(app)


async def test_an_empty_field_takes_the_example_so_that_two_keys_make_the_first_picture() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        assert "Or press → in the empty field for the example, then ctrl+j." in text_of(app)
        await pilot.press("right", "ctrl+j")
        await settled(pilot)
        assert "tabby cat" in backend.enqueued[0].prompt


@pytest.mark.parametrize(
    ("seed_mode", "template", "expected"), [("+1", None, 8), ("locked", None, 8), ("random", None, None)]
)
def test_the_next_try_is_the_same_with_another_seed(seed_mode: str, template: str | None, expected: int | None) -> None:
    again = next_try(replace(REQUESTED, output="/out/x.png", prompt_template=template), seed_mode)
    assert replace(again, seed=None) == replace(REQUESTED, seed=None)
    assert again.seed != 7
    assert expected is None or again.seed == expected


def test_the_next_try_draws_the_wildcards_anew() -> None:
    asked = replace(REQUESTED, prompt="a {red|blue|green|black|white} fox").resolved()
    prompts = set()
    for _ in range(20):
        asked = next_try(asked, "+1")
        prompts.add(asked.prompt)
    assert len(prompts) > 2
    assert {prompt.count("{") for prompt in prompts} == {0}


async def test_rejecting_after_the_end_makes_another_and_cancels_nothing() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(12)))
    async with running(backend) as (_, pilot):
        await pilot.press("escape", "r")
        await settled(pilot)
        assert len(backend.enqueued) == 1
        assert backend.cancelled == []


async def test_rejecting_says_nothing_of_a_run_that_began_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(12)))

    obey = backend.ask

    async def ask(command: Command[Any]) -> Any:
        if isinstance(command, Move):
            raise WorkerError(f"Run {command.run} is not waiting in the queue.")
        return await obey(command)

    monkeypatch.setattr(backend, "ask", ask)
    async with running(backend) as (app, pilot):
        await pilot.press("escape", "r")
        await settled(pilot)
        assert len(backend.enqueued) == 1
        assert not [notice for notice in app._notifications if notice.severity == "error"]


async def test_a_pasted_path_brings_the_pictures_settings(picture: Path) -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await _paste(pilot, app, f"'{picture}'", "s")
        await _until(pilot, app, "taken")
        assert app.choices.with_request(REQUESTED).prompt == app.dashboard.prompt.editor.text == "a red fox"
        chosen = app.choices
        assert (chosen.model, chosen.quantization, chosen.size) == ("klein-4b", "int4", (512, 256))
        assert (chosen.steps, chosen.guidance, chosen.seed, chosen.seed_mode) == (6, 2.0, 7, "locked")


async def test_what_a_foreign_picture_says_besides_is_named(tmp_path: Path) -> None:
    from PIL import PngImagePlugin

    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", "a dog\nSteps: 9, Sampler: DPM++ 2M, CFG scale: 3, Seed: 5, Size: 512x512")
    path = tmp_path / "dog.png"
    Image.new("RGB", (8, 8)).save(path, pnginfo=chunks)
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "e")
        await settled(pilot)
        await pilot.press(*str(path), "enter")
        await _until(pilot, app, "Not taken: Sampler DPM++ 2M (FLUX.2 is sampled with Euler steps")
        assert (app.choices.prompt, app.choices.steps, app.choices.seed) == ("a dog", 9, 5)


async def test_a_path_that_is_not_here_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    async with running(ReplayBackend()) as (app, pilot):
        app.post_message(events.Paste("/Users/me/fox.png"))
        await settled(pilot)
        assert "copy it here with scp" in app.session.log[-1].message
        assert app.dashboard.prompt.editor.text == ""
        app.post_message(events.Paste("a fox on /a/b.png, painted"))
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "a fox on /a/b.png, painted"


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/a/fox.png", "/a/fox.png"),
        ("'/a/my fox.PNG' ", "/a/my fox.PNG"),
        ("/a/my\\ fox\\(1\\).png", "/a/my fox(1).png"),
        ("file:///a/my%20fox.png", "/a/my fox.png"),
        ("~/fox.png", str(Path.home() / "fox.png")),
        ("fox.png", None),
        ("a fox /a.png", None),
        ("/a/fox.jpg", "/a/fox.jpg"),
        ("'/a/my fox.WebP'", "/a/my fox.WebP"),
        ("/a/fox.heic", "/a/fox.heic"),
        ("/imagine a fox", None),
        ("/no/such/file", None),
        (__file__, __file__),
        ("/a.png\n/b.png", None),
        ("", None),
        ("'", None),
        ("/" * 5000 + ".png", None),
    ],
)
def test_paths_as_terminals_paste_them(text: str, path: str | None) -> None:
    assert pasted_path(text) == (None if path is None else Path(path))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("/a/fox.png\n/b/my bird.jpg\n", 2),
        ("'/a/my fox.png' /b/bird.webp", 2),
        ("/a/my\\ fox.png /b/bird.webp /c.png", 3),
        ("/a/fox.png\na fox", 0),
        ("/a/fox.png and words", 0),
        ("it's", 0),
        ("'a fox' and 'a bird'", 0),
        ("a fox\na bird", 0),
    ],
)
def test_several_pictures_at_once(text: str, count: int) -> None:
    assert len(pasted_paths(text)) == count


async def test_what_is_pasted_as_a_path_is_no_prompt(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("a fox")
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "folder.png").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.gif")
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.jpg")
    async with running(ReplayBackend()) as (app, pilot):
        for name, key, said in (
            ("notes.txt", "s", "notes.txt can't be read: it is not a PNG, JPEG or WEBP"),
            ("a.gif", "s", "a.gif can't be read: it is not a PNG, JPEG or WEBP"),
            ("plain.jpg", "s", "plain.jpg says nothing about how it was made"),
            ("notes.txt", "c", "notes.txt can't be read: it is not a PNG, JPEG"),
            ("plain.jpg", "r", "The reference plain.jpg has 8×8 pixels, and 64 per side are the least"),
            ("fifo.png", "", "fifo.png is no file"),
            ("folder.png", "", "folder.png is no file"),
            ("gone.webp", "", "There is no file"),
            (f"a.gif {tmp_path}/gone.jpg", "", "There is no file"),
        ):
            await _paste(pilot, app, f"{tmp_path}/{name}", key)
            await _until(pilot, app, said)
            assert app.dashboard.prompt.editor.text == ""


async def test_a_picture_without_a_prompt_leaves_ours(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x8769] = {0x9286: b"UNICODE\0" + "Negative prompt: no\nSteps: 9, Seed: 5".encode("utf-16-be")}
    Image.new("RGB", (8, 8)).save(tmp_path / "dog.jpg", exif=exif)
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press(*"a cat")
        await _paste(pilot, app, str(tmp_path / "dog.jpg"), "s")
        await _until(pilot, app, "Not taken: prompt (the picture has none).")
        assert (app.choices.prompt, app.choices.steps, app.choices.seed) == ("a cat", 9, 5)
        assert "without no" in text_of(app).splitlines()[1]
        app.choose(replace(app.choices, negative_prompt=None))
        await settled(pilot)
        assert "without" not in text_of(app).splitlines()[1]


async def test_earlier_prompts_are_found_by_a_few_letters() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        for prompt in ("a cat on a windowsill", "a fox in the snow", "a lighthouse", "a fox in the snow"):
            app.prompt_history.add(prompt)
        await pilot.press(*"draft", "ctrl+r")
        await settled(pilot)
        await pilot.press(*"cat wdw", "enter")
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "a cat on a windowsill"
        await pilot.press("ctrl+r")
        await settled(pilot)
        await pilot.press("down", "escape")
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "a cat on a windowsill"


# --- the editor ----------------------------------------------------------------------------------------------------


def script(tmp_path: Path, code: str) -> list[str]:
    path = tmp_path / "editor.py"
    path.write_text(f"import pathlib, sys\npath = pathlib.Path(sys.argv[-1])\n{code}\n")
    return [sys.executable, str(path)]


def test_the_editor_changes_the_text(tmp_path: Path) -> None:
    command = script(tmp_path, "path.write_text(path.read_text().replace('fox', 'füchslein') + '\\n\\n')")
    assert edit("a fox\nin snow", command) == "a füchslein\nin snow"


@pytest.mark.parametrize(
    ("code", "said"), [("sys.exit(3)", "ended with an error (3)"), ("path.unlink()", "left no file")]
)
def test_a_failing_editor_changes_nothing(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(EditorError) as told:
        edit("a fox", script(tmp_path, code))
    assert said in str(told.value)
    with pytest.raises(EditorError, match="can't be started"):
        edit("a fox", ["/no/such/editor"])


def test_which_editor() -> None:
    assert editor_command({"VISUAL": "code --wait", "EDITOR": "vi"}) == ["code", "--wait"]
    assert editor_command({"EDITOR": "'/my apps/vi' -n"}) == ["/my apps/vi", "-n"]
    for environment in ({}, {"EDITOR": " "}, {"EDITOR": "'open"}):
        with pytest.raises(EditorError):
            editor_command(environment)


async def test_without_an_editor_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(Flux2App, "suspend", lambda _: contextlib.nullcontext())
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press(*"kept", "f4")
        await settled(pilot)
        assert "No editor is set" in app.session.log[-1].message
        assert app.dashboard.prompt.editor.text == "kept"


# --- the queue -----------------------------------------------------------------------------------------------------


async def test_a_queued_picture_is_changed_in_its_place_and_the_draft_comes_back() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two", "three"))
    async with running(backend) as (app, pilot):
        await pilot.press(*"my draft")
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        queue.highlighted = 1
        await pilot.press("enter")
        await settled(pilot)
        assert "Queued picture" in text_of(app)
        await pilot.press(*", changed", "ctrl+j")
        await settled(pilot)
        run, request = backend.replaced[0]
        assert (run, request.prompt, request.seed) == ("r2", "two, changed", 1235)
        assert backend.enqueued == []
        assert app.dashboard.prompt.editor.text == "my draft"
        assert "Queued picture" not in text_of(app)


async def test_nothing_of_a_queued_picture_is_lost_by_changing_it() -> None:
    waiting = {**queue_of("one", "two")[1], "request": FULL.to_dict()}
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=(queue_of("one")[0], waiting))
    async with running(backend) as (app, pilot):
        before = app.choices
        app.dashboard.edited.begin(app, "r2")
        await settled(pilot)
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert backend.replaced == [("r2", FULL)]
        assert app.choices == before


async def test_a_pasted_picture_brings_its_recipe_and_nothing_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(found_again, "is_whole", lambda _: True)  # the store has what was handed in for it
    asked = replace(FULL, loras=())  # which are taken where the folder has them: tests/unit/test_lora_runs.py
    path = save_png(Image.new("RGB", (8, 8)), tmp_path / "full.png", ImageMetadata(request=asked))
    async with running(ReplayBackend()) as (app, pilot):
        await _paste(pilot, app, str(path), "s")
        await _until(pilot, app, "taken")
        assert app.choices == recipe(Choices().with_request(asked))


async def test_one_whose_turn_has_come_is_said_and_its_changes_stay_in_the_editor() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two"))
    async with running(backend) as (app, pilot):
        app.dashboard.edited.begin(app, "r2")
        await settled(pilot)
        backend.refuses = "Run r2 is not waiting in the queue; to end a run under way, cancel it."
        await pilot.press(*"!", "ctrl+j")
        await settled(pilot)
        assert "is not waiting" in app.session.log[-1].message
        assert app.dashboard.prompt.editor.text == "two!"
        backend.refuses = ""
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert [request.prompt for request in backend.enqueued] == ["two!"]


async def _paste(pilot: Pilot[None], app: Flux2App, text: str, key: str) -> None:
    """Paste a path, and answer what it is for."""
    app.post_message(events.Paste(text))
    await settled(pilot)
    if key:
        await pilot.press(key)


async def _until(pilot: object, app: Flux2App, message: str) -> None:
    for _ in range(200):
        await pilot.pause(0.02)  # type: ignore[attr-defined]
        if app.session.log and message in app.session.log[-1].message:
            return
    raise AssertionError([line.message for line in app.session.log])
