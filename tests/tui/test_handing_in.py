"""Pictures handed in by keys: what the next request says then, and what the screen says of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from textual import events
from textual.pilot import Pilot

from flux2.inputs.attachment import Attachment
from tests.tui.pictures import gallery, made
from tests.tui.replay import ReplayBackend, queue_of
from tests.tui.screen import running, settled, text_of, until
from tui.app import Flux2App
from tui.screens.compare import CompareScreen
from tui.screens.mask_editor import MaskEditor
from tui.screens.picture_picker import PicturePicker
from tui.state.choices import Choices, load_choices, save_choices
from tui.state.handing_in import FIRST_STRENGTH, extend, hand_in, handed_in, move, take_all_away, take_away, title
from tui.state.mask_board import MaskBoard
from tui.state.previews import list_folder, on_canvas

A, B, C = (Attachment(digest=letter * 64, name=f"{letter}.png", width=256, height=128) for letter in "abc")


def of(choices: Choices) -> list[str]:
    return [f"{title(item)} {item.picture}" for item in handed_in(choices)]


# --- what belongs together --------------------------------------------------------------------------------------------


def test_a_source_that_is_shown_is_the_first_of_the_pictures_that_a_prompt_numbers() -> None:
    choices = hand_in(hand_in(Choices(), "reference", [A, B]), "source", [C])
    assert of(choices) == ["to change c.png", "image 1 a.png", "image 2 b.png"]
    shown = replace(choices, source_as_reference=True)
    assert of(shown) == ["to change, image 1 c.png", "image 2 a.png", "image 3 b.png"]


def test_what_is_said_of_a_source_goes_with_it() -> None:
    choices = extend(hand_in(hand_in(Choices(), "source", [A]), "mask", [B]), (0, 64, 0, 0))
    left = take_away(replace(choices, source_as_reference=True, strength=0.5), handed_in(choices)[0])
    assert left == Choices()


def test_a_source_with_nothing_done_to_it_is_changed_by_some_strength() -> None:
    plain = hand_in(Choices(width=640, height=640), "source", [A])
    assert (plain.strength, plain.size) == (FIRST_STRENGTH, (256, 128))
    masked = hand_in(plain, "mask", [B])
    assert masked.strength is None
    assert take_away(masked, handed_in(masked)[1]) == plain
    chosen = hand_in(replace(plain, strength=0.4), "mask", [B])
    assert chosen.strength == 0.4


@pytest.mark.parametrize(("place", "by", "order"), [(0, 1, "bac"), (2, -1, "acb"), (0, -1, "abc"), (2, 1, "abc")])
def test_references_change_places_and_no_further(place: int, by: int, order: str) -> None:
    moved = move(hand_in(Choices(), "reference", [A, B, C]), place, by)
    assert "".join(picture.name[0] for picture in moved.references) == order


def test_what_was_handed_in_is_kept_over_a_restart(tmp_path: Path) -> None:
    choices = hand_in(hand_in(hand_in(Choices(prompt="a"), "reference", [A, B]), "source", [C]), "mask", [A])
    save_choices(tmp_path / "screen.json", choices)
    assert load_choices(tmp_path / "screen.json") == choices
    assert take_all_away(choices) == Choices(prompt="a")


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def cat(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    Image.new("RGB", (256, 128), (200, 100, 20)).save(folder / "cat.png")
    return folder / "cat.png"


async def paste(app: Flux2App, pilot: Pilot[None], paths: Iterable[Path], key: str) -> None:
    app.post_message(events.Paste("\n".join(map(str, paths))))
    await settled(pilot)
    await pilot.press(key)


@pytest.mark.parametrize("size", [(60, 16), (80, 24), (120, 40), (200, 60)])
async def test_a_pane_tells_of_them_at_every_size_and_goes_with_the_last(size: tuple[int, int], cat: Path) -> None:
    async with running(ReplayBackend(), size) as (app, pilot):
        rows = text_of(app)
        await paste(app, pilot, [cat, cat], "r")
        await until(pilot, lambda: app.choices.references)
        app.clear_notifications()
        await until(pilot, lambda: app.dashboard.pictures_in.strip.settled)
        shown = text_of(app)
        assert "image 1" in shown
        assert "image 2" in shown
        assert "cat.png" in shown
        if size[0] >= 120:
            for told in ("256×128", "128 tokens", "% of a step", "× as long"):
                assert told in shown
        app.dashboard.pictures_in.strip.focus()
        await pilot.press("delete", "delete")
        await settled(pilot)
        assert not app.choices.references
        assert app.focused is None
        assert text_of(app).splitlines()[1:8] == rows.splitlines()[1:8]


async def test_what_is_pasted_is_changed_and_queued(cat: Path) -> None:
    backend = ReplayBackend()
    async with running(backend, (120, 40)) as (app, pilot):
        await paste(app, pilot, [cat], "c")
        await until(pilot, lambda: app.choices.source)
        await pilot.press(*"at night", "escape", "v", "s")
        await settled(pilot)
        assert "steps, the last of 8; begins at" in text_of(app)
        await pilot.press("d")
        await settled(pilot)
        await pilot.press("v", "e")
        await settled(pilot)
        await pilot.press("6", "4", "enter")
        await settled(pilot)
        assert "strength 0.5 from" in text_of(app)
        await pilot.press("ctrl+j")
        await until(pilot, lambda: backend.enqueued)
        request = backend.enqueued[0]
        assert request.source is not None
        assert (request.source.name, request.strength, request.outpaint) == ("cat.png", 0.5, (64, 0, 0, 0))
        assert app.choices.source == request.source


async def test_one_from_the_gallery_is_a_reference_and_is_seen_beside_what_it_became(folder: Path) -> None:
    made(folder, "before", 1)
    async with gallery(size=(120, 40)) as (screen, pilot):
        app = screen.app
        assert isinstance(app, Flux2App)
        await pilot.press("v", "r")
        await until(pilot, lambda: app.choices.references)
        assert not screen.check_action("before", ())
        made(folder, "after", 2, source=app.choices.references[0], strength=0.5, color=(10, 20, 200))
        await app.library.refresh()
        await until(pilot, lambda: screen.current and screen.check_action("before", ()) is not None)
        screen.browser.go_to(folder / "after.png")
        await settled(pilot)
        await pilot.press("k")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen.difference_ready)
        shown = text_of(app)
        assert "to change: before.png" in shown
        assert "after" in shown
        await pilot.press("space")
        await settled(pilot)
        assert "Flicker" in text_of(app)


async def test_the_picker_shows_folders_and_takes_a_picture(cat: Path) -> None:
    (cat.parent / "sub").mkdir()
    Image.new("RGB", (64, 64)).save(cat.parent / "sub" / "dog.jpg")
    async with running(ReplayBackend(), (80, 24)) as (app, pilot):
        await pilot.press("escape", "v", "r")
        await until(pilot, lambda: "cat.png" in text_of(app) and "sub/" in text_of(app))
        picker = app.screen
        assert isinstance(picker, PicturePicker)
        await until(pilot, lambda: picker.view.settled and picker.view._image is not None)
        assert "▀" in text_of(app)
        await pilot.press("up", "right")
        await until(pilot, lambda: "dog.jpg" in text_of(app))
        await pilot.press("left")
        await until(pilot, lambda: "cat.png" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: "dog.jpg" in text_of(app))
        await pilot.press("enter")
        await until(pilot, lambda: app.choices.references)
        assert app.choices.references[0].name == "dog.jpg"
        await pilot.press("v", "r")
        await until(pilot, lambda: "dog.jpg" in text_of(app))  # where one was taken last


async def test_the_queue_tells_of_them() -> None:
    waiting = queue_of("one", "two")
    asked = {**waiting[1]["request"], "references": [{}, {}]}  # type: ignore[dict-item]
    changed = ({**waiting[0]}, {**waiting[1], "request": asked})
    async with running(ReplayBackend(queue=changed), (120, 40)) as (app, pilot):
        await settled(pilot)
        assert "2 refs" in text_of(app)


def test_a_folder_that_cannot_be_read_is_a_sentence(tmp_path: Path) -> None:
    assert "can't be read" in list_folder(tmp_path / "gone").problem


def test_a_source_lies_where_it_lies_on_what_became_of_it() -> None:
    canvas = on_canvas(Image.new("RGB", (10, 10), "red"), (100, 100), (0, 100, 0, 0), (64, 32))
    assert canvas.size == (64, 32)
    assert canvas.getpixel((31, 16)) == (255, 0, 0)
    assert canvas.getpixel((33, 16)) == (128, 128, 128)


# --- masks ------------------------------------------------------------------------------------------------------------


def test_every_change_of_a_mask_can_be_undone() -> None:
    board = MaskBoard(128, 64)
    board.paint()
    assert board.covered == 0.25
    before = board.mask
    for change in (board.invert, lambda: board.grow(1), lambda: board.grow(-1), board.feather, board.clear):
        change()
        assert (board.mask != before).any()
        board.undo()
        assert (board.mask == before).all()
    board.undo()
    assert not board.can_undo
    assert board.covered == 0


@pytest.mark.parametrize("moved", [(-9999, 0), (9999, 0), (0, -9999), (0, 9999)])
def test_some_of_the_shape_stays_on_the_picture(moved: tuple[int, int]) -> None:
    board = MaskBoard(128, 64)
    board.move(*moved)
    board.size(-500, -500)
    board.scale(-50, -50)
    left, top, right, bottom = board.box
    assert right > max(left, 0)
    assert bottom > max(top, 0)
    assert left < 128
    assert top < 64


@pytest.mark.parametrize("size", [(60, 16), (80, 24)])
async def test_a_mask_is_drawn_by_keys_and_taken(size: tuple[int, int], cat: Path) -> None:
    async with running(ReplayBackend(), size) as (app, pilot):
        await paste(app, pilot, [cat], "c")
        await until(pilot, lambda: app.choices.source)
        await pilot.press("escape", "v", "d")
        await until(pilot, lambda: isinstance(app.screen, MaskEditor) and app.screen.picture)
        await pilot.press("space", "o", "right", "tab", "up", "delete", "f")
        await settled(pilot)
        assert "repaints" in text_of(app)
        await pilot.press("p", "enter")
        await until(pilot, lambda: app.choices.mask and not isinstance(app.screen, MaskEditor))
        assert app.choices.strength is None
        await pilot.press("v", "d")  # it goes on with the mask that there is
        await until(pilot, lambda: isinstance(app.screen, MaskEditor) and app.screen.board.covered > 0)
        await pilot.press("i", "escape")
        await until(pilot, lambda: "Leave without this mask?" in text_of(app))


@pytest.mark.parametrize(("keys", "said"), [("a", "is transparent"), (("space", "i", "i", "c"), "repaints 0 %")])
async def test_a_mask_that_makes_no_sense_is_a_sentence(keys: Iterable[str], said: str, cat: Path) -> None:
    async with running(ReplayBackend(), (120, 40)) as (app, pilot):
        await paste(app, pilot, [cat], "c")
        await until(pilot, lambda: app.choices.source)
        await pilot.press("escape", "v", "d")
        await until(pilot, lambda: isinstance(app.screen, MaskEditor) and app.screen.picture)
        await pilot.press(*keys)
        await until(pilot, lambda: said in text_of(app))
