"""The dashboard on a replayed worker: every key does what its help says, every event reaches its pane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.paths import state_dir
from flux2.settings import settings
from tests.tui.replay import INFO, REQUEST, START, ReplayBackend, events_of_a_run, picture_png, queue_of
from tests.tui.screen import make_app, running, settled, text_of
from tui.choices import Choices, load_choices, save_choices
from tui.keymap import KEYS
from tui.screens.confirm import Confirm
from tui.screens.help import Help
from tui.screens.menu import Menu
from tui.screens.sampling import SamplingDialog
from tui.widgets.queue_pane import QueueList
from tui.widgets.settings_pane import SettingsForm

CAT = "a fluffy orange tabby cat"


def mid_run(step: int = 7) -> ReplayBackend:
    return ReplayBackend(past=tuple(events_of_a_run(step)), queue=queue_of(str(REQUEST["prompt"])))


# --- running -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [["ctrl+j"], ["alt+enter"], ["escape", "g"]])
async def test_the_run_keys_send_what_is_chosen(keys: list[str]) -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, quantization="int4", seed_mode="locked", seed=7))
        await pilot.press(*CAT, *keys)
        await settled(pilot)
        request = backend.enqueued[0]
        assert (request.prompt, request.quantization, request.seed) == (CAT, "int4", 7)
        assert app.prompt_history.entries == [CAT]


async def test_while_one_runs_the_next_is_queued() -> None:
    backend = mid_run()
    async with running(backend) as (_, pilot):
        await pilot.press(*"a fox", "ctrl+j")
        await settled(pilot)
        assert [request.prompt for request in backend.enqueued] == ["a fox"]


async def test_plus_one_goes_on_with_the_next_seed() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        app.choose(replace(app.choices, seed_mode="+1", seed=41))
        await pilot.press(*"x", "ctrl+j", "ctrl+j")
        await settled(pilot)
        assert [request.seed for request in backend.enqueued] == [41, 42]
        assert app.choices.seed == 43


async def test_an_empty_prompt_is_a_sentence_and_no_run() -> None:
    backend = ReplayBackend()
    async with running(backend) as (app, pilot):
        await pilot.press("ctrl+j")
        await settled(pilot)
        assert backend.enqueued == []
        assert "The prompt is empty" in app.session.log[-1].message


async def test_what_the_worker_refuses_is_said_and_nothing_typed_is_lost() -> None:
    backend = ReplayBackend(refuses="The queue is full (200 requests wait); remove some or wait.")
    async with running(backend) as (app, pilot):
        await pilot.press(*CAT, "ctrl+j")
        await settled(pilot)
        assert "The queue is full" in text_of(app)
        assert app.dashboard.prompt.editor.text == CAT
        assert app.prompt_history.entries == []


async def test_cancel_asks_and_the_same_key_says_yes() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press("escape", "x")
        await settled(pilot)
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await settled(pilot)
        assert backend.cancelled == []
        await pilot.press("x", "x")
        await settled(pilot)
        assert backend.cancelled == ["r1"]


async def test_there_is_nothing_to_cancel_between_runs() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "x")
        await settled(pilot)
        assert app.screen is app.dashboard
        assert " cancel" not in text_of(app)


async def test_a_waiting_item_can_be_taken_out() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two", "three"))
    async with running(backend) as (app, pilot):
        assert "2 waiting" in text_of(app)
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        await pilot.press("down", "down", "delete")
        await settled(pilot)
        assert backend.removed == ["r3"]


async def test_the_running_item_is_not_removed_but_cancelled() -> None:
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("one", "two"))
    async with running(backend) as (app, pilot):
        queue = app.dashboard.query_one(QueueList)
        queue.focus()
        queue.highlighted = 0
        await pilot.press("delete")
        await settled(pilot)
        assert backend.removed == []


# --- watching ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_a_run_is_shown_mid_way_to_one_who_attaches(size: tuple[int, int]) -> None:
    async with running(mid_run(), size=size) as (app, _):
        text = text_of(app)
        for shown in ("step 8 of 12", "✓ encode", "● denoise", "○ decode", "left", "limit 48 GB", "step 7 of 12: "):
            assert shown in text, shown
        assert "⣿" in text
        assert "▀" in text  # the preview


async def test_steps_memory_and_preview_follow_the_events() -> None:
    backend = mid_run(3)
    async with running(backend) as (app, pilot):
        assert "step 4 of 12" in text_of(app)
        new = [event for event in events_of_a_run(6) if event.time > max(past.time for past in backend.past)]
        backend.feed(*new)
        await settled(pilot)
        assert "step 7 of 12" in text_of(app)
        assert app.session.preview is not None
        assert app.session.preview.step == 6


async def test_the_finished_picture_takes_the_previews_place(tmp_path: Path) -> None:
    backend = mid_run(12)
    picture = tmp_path / "cat.png"
    picture.write_bytes(picture_png(12, 12))
    async with running(ReplayBackend(past=tuple(events_of_a_run(7)))) as (app, pilot):
        backend = app.backend
        assert isinstance(backend, ReplayBackend)
        done = ev.RunFinished(run="r1", time=START + 90, path=str(picture), seed=1234, seconds=90, peaks={}, timings={})
        backend.feed(done)
        await settled(pilot)
        text = text_of(app)
        assert "Picture" in text
        assert "Saved cat.png" in text
        assert app.dashboard.preview.cells._source == picture


async def test_elapsed_and_eta_tick_by_themselves() -> None:
    async with running(mid_run()) as (app, pilot):
        before = app.dashboard.progress.heading.detail.plain
        app.session.clock.now += 3  # type: ignore[attr-defined]
        await pilot.pause(1.1)
        after = app.dashboard.progress.heading.detail.plain
        assert before != after
        assert "elapsed 1:13" in before
        assert "elapsed 1:16" in after


async def test_a_failed_run_is_a_sentence_in_pane_log_and_toast() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        sentence = "vae/model.safetensors is truncated; download it again."
        backend.feed(ev.RunFailed(run="r1", time=START + 80, message=sentence, details="Traceback …"))
        await settled(pilot)
        text = text_of(app)
        assert text.count("vae/model.safetensors") >= 3
        assert "✗ denoise" in text
        assert "Traceback" not in text


async def test_the_log_follows_its_end_until_one_scrolls_up() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        for number in range(30):
            backend.feed(ev.Logged(time=START + 80, level="info", message=f"line number {number}"))
        await settled(pilot)
        assert "line number 29" in text_of(app)
        app.dashboard.log_pane.lines.focus()
        await pilot.press("pageup", "pageup")
        await settled(pilot)
        assert "line number 29" not in text_of(app)
        backend.feed(ev.Logged(time=START + 81, level="info", message="line number 30"))
        await settled(pilot)
        assert "line number 30" not in text_of(app)
        await pilot.press("end")
        await settled(pilot)
        assert "line number 30" in text_of(app)


# --- the worker ----------------------------------------------------------------------------------------------------


async def test_a_dead_worker_is_noticed_within_a_second_and_restarted_by_a_key() -> None:
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press(*CAT)
        backend.die("The worker (process 4711) died: killed by SIGABRT. It last said: libc++abi: terminating")
        await asyncio.sleep(0.5)
        await pilot.pause()
        text = text_of(app)
        assert "worker lost, f5 restarts it" in text
        assert "libc++abi: terminating" in text
        assert "f5 restart worker" in text
        assert "step 7 of 12" in text  # what was seen stays
        await pilot.press("f5")
        await settled(pilot)
        assert backend.restarts == 1
        assert app.session.trouble == ""
        assert app.dashboard.prompt.editor.text == CAT


async def test_a_worker_that_does_not_start_is_a_sentence() -> None:
    async with running(ReplayBackend(fails="The worker can't be started (No space left on device).")) as (app, pilot):
        assert "No space left on device" in text_of(app)
        await pilot.press("f5")
        await settled(pilot)
        assert "ready" in text_of(app)


async def test_the_worker_may_still_be_warming_up() -> None:
    backend = ReplayBackend(info=replace(INFO, ready=False, device="", memory_limit=0))
    async with running(backend) as (app, pilot):
        assert "worker warming up" in text_of(app)
        backend.feed(INFO)
        await settled(pilot)
        text = text_of(app)
        assert "ready" in text
        assert "M3 Max" in text
        assert "limit 48 GB" in text


async def test_leaving_says_that_the_run_goes_on() -> None:
    backend = mid_run()
    app = make_app(backend)
    async with app.run_test(size=(120, 40)) as pilot:
        await settled(pilot)
        await pilot.press(*CAT, "ctrl+q")
        await pilot.pause()
    assert backend.closed
    assert backend.cancelled == []
    assert app.return_code == 0
    assert load_choices(state_dir() / "screen.json").prompt == CAT


# --- choosing ------------------------------------------------------------------------------------------------------

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
    ("s", [*"99", "enter"], lambda c: (c.seed, c.seed_mode), (99, "locked")),
    ("s", [*"99", "ctrl+l", "enter"], lambda c: (c.seed, c.seed_mode), (99, "+1")),
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


# --- looking -------------------------------------------------------------------------------------------------------


async def test_one_pane_alone_and_back() -> None:
    async with running(mid_run(), size=(80, 24)) as (app, pilot):
        await pilot.press("escape", "2")
        await settled(pilot)
        text = text_of(app)
        assert "Preview" in text
        assert "Memory" not in text
        await pilot.press("4")
        await settled(pilot)
        assert "step 1 of 12: " in text_of(app)
        await pilot.press("1")
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_the_focused_pane_is_maximized() -> None:
    async with running(mid_run(), size=(80, 24)) as (app, pilot):
        app.dashboard.log_pane.lines.focus()
        await pilot.press("z")
        await settled(pilot)
        assert "Memory" not in text_of(app)
        await pilot.press("z")
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_the_graph_shows_the_whole_run_or_its_last_two_minutes() -> None:
    async with running(ReplayBackend(past=tuple(events_of_a_run(40, 60)))) as (app, pilot):
        assert "0:00" in text_of(app)
        await pilot.press("escape", "w")
        await settled(pilot)
        text = text_of(app)
        assert "Memory, 2 min" in text
        assert " 0:00 " not in text
        await pilot.press("w")
        await settled(pilot)
        assert "0:00" in text_of(app)


async def test_the_theme_menu_previews_and_can_be_refused() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "t")
        await settled(pilot)
        await pilot.press("down")
        await settled(pilot)
        previewed = app.theme
        assert previewed != "midnight"
        await pilot.press("escape")
        await settled(pilot)
        assert app.theme == "midnight"
        await pilot.press("t")
        await settled(pilot)
        await pilot.press("down", "enter")
        await settled(pilot)
        assert app.theme == settings().theme == previewed


async def test_an_unknown_theme_is_said_and_the_usual_one_worn() -> None:
    async with running(ReplayBackend(), theme="mauve") as (app, _):
        assert app.theme == "midnight"
        assert any("There is no theme 'mauve'" in toast.message for toast in app._notifications)


async def test_broken_theme_files_are_listed_once() -> None:
    folder = state_dir().parent / "config" / "themes"
    folder.mkdir(parents=True)
    for name in ("one", "two"):
        (folder / f"{name}.toml").write_text("title =")
    async with running(ReplayBackend()) as (app, _):
        toasts = [toast.message for toast in app._notifications]
        assert len(toasts) == 1
        assert "one.toml" in toasts[0]
        assert "two.toml" in toasts[0]


@pytest.mark.parametrize("key", ["question_mark", "f1"])
async def test_help_lists_every_key(key: str) -> None:
    async with running(ReplayBackend(), size=(120, 80)) as (app, pilot):
        await pilot.press("escape", key)
        await settled(pilot)
        assert isinstance(app.screen, Help)
        text = text_of(app)
        for entry in KEYS:
            assert entry.help in text
        await pilot.press("escape")
        await settled(pilot)
        assert app.screen is app.dashboard


async def test_every_command_is_in_the_palette() -> None:
    async with running(mid_run()) as (app, _):
        names = {command.title for command in app.get_system_commands(app.dashboard)}
        # While the editor has the focus, all is well, no picture is finished, no prompt was run, no model is kept.
        hidden = {"Edit prompt", "Restart worker", "Favourite", "Earlier prompts", "Free the model"}
        assert {key.command for key in KEYS if key.command} - hidden <= names


async def test_a_command_of_the_palette_acts() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("ctrl+p")
        await settled(pilot)
        await pilot.press(*"quanti")
        await pilot.pause(0.5)
        await pilot.press("enter")
        await settled(pilot)
        assert isinstance(app.screen, Menu)


async def test_the_footer_shows_only_what_works_now() -> None:
    async with running(mid_run()) as (app, pilot):
        footer = text_of(app).splitlines()[-1]
        assert "ctrl+j run" in footer
        assert "model" not in footer  # a letter is text while the editor has the focus
        await pilot.press("escape")
        await settled(pilot)
        footer = text_of(app).splitlines()[-1]
        for shown in ("ctrl+j run", "x cancel", "m model", "n quant", "? help"):
            assert shown in footer


# --- sizes ---------------------------------------------------------------------------------------------------------


async def test_a_small_terminal_says_so_and_comes_back() -> None:
    async with running(mid_run(), size=(59, 16)) as (app, pilot):
        assert "This terminal is 59×16." in text_of(app)
        await pilot.resize_terminal(60, 16)
        await settled(pilot)
        assert "Memory" in text_of(app)


async def test_resizing_at_any_moment_is_fine() -> None:
    backend = mid_run(3)
    new = [event for event in events_of_a_run(12) if event.time > max(past.time for past in backend.past)]
    sizes = [(60, 16), (200, 60), (20, 5), (99, 31), (100, 32), (1, 1), (160, 50), (300, 100), (80, 24)]
    async with running(backend) as (app, pilot):
        for place, (width, height) in enumerate(sizes):
            backend.feed(*new[place * 20 : place * 20 + 20])
            await pilot.resize_terminal(width, height)
            await pilot.pause()
        await settled(pilot)
        text = text_of(app)
        assert len(text.splitlines()) == 24
        assert "of 12" in text


async def test_narrow_shows_the_settings_on_one_line() -> None:
    async with running(ReplayBackend(), size=(80, 24)) as (app, _):
        line = next(line for line in text_of(app).splitlines() if "pocket" in line)
        for shown in ("m pocket", "n bf16", "d 256×256", "i 4 steps", "s random"):
            assert shown in line


async def test_every_row_is_as_wide_as_the_terminal() -> None:
    for width, height in ((60, 16), (80, 24), (120, 40)):
        async with running(mid_run(), size=(width, height)) as (app, _):
            rows = text_of(app).splitlines()
            assert len(rows) == height
            assert {len(row) for row in rows} == {width}
