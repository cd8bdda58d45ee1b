"""The gallery on a replayed worker: what it shows, and what its keys do with a picture."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from textual.pilot import Pilot

from flux2 import events as ev
from flux2.pictures.favourites import Favourites
from tests.tui.pictures import FOX, gallery, made, name_of, resting
from tests.tui.replay import ReplayBackend, events_of_a_run, queue_of
from tests.tui.screen import make_app, settled, text_of, until
from tests.unit.foreign_pictures import png
from tui.keys.keymap import COMPARE_KEYS, GALLERY_KEYS, VIEWER_KEYS
from tui.screens.confirm import Confirm
from tui.screens.gallery import GalleryScreen
from tui.screens.help import Help
from tui.screens.viewer import Viewer

Compare = Callable[..., bool]


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
async def test_newest_first_with_the_settings_of_the_one_at_hand(folder: Path, size: tuple[int, int]) -> None:
    made(folder, "old", 1, prompt="an old lighthouse", seed=7)
    made(folder, "new", 2, quantization="int4")
    async with gallery(size=size) as (screen, pilot):
        assert name_of(screen) == "new"
        for words in ("1 of 2", "a red fox", "int4", "42", "128×64", "denoise", "8.50 s", "3.00"):
            assert words in text_of(screen.app)
        assert screen.browser.lines is (size == (80, 24))
        await pilot.press("down" if size == (80, 24) else "right")
        await until(pilot, lambda: "2 of 2" in text_of(screen.app))
        await until(pilot, lambda: "Seed     7" in text_of(screen.app))


PLACES = [
    (["right"], 1),
    (["right", "left"], 0),
    (["down"], 3),  # 120 columns have three thumbnails in a row
    (["down", "up"], 0),
    (["pagedown"], 9),
    (["pagedown", "pageup"], 0),
    (["end"], 19),
    (["end", "home"], 0),
    (["left"], 0),
    (["end", "right"], 19),
    (["pagedown", "pagedown", "pagedown"], 19),
    (["end", "up", "down"], 19),
    (["pagedown", "down", "down", "down"], 18),
]


async def test_the_cursor_goes_where_its_keys_say(folder: Path) -> None:
    for number in range(20):
        made(folder, f"p{number:02}", number)
    async with gallery() as (screen, pilot):
        for keys, place in PLACES:
            await pilot.press("home", *keys)
            assert name_of(screen) == f"p{19 - place:02}", keys
            assert f"{place + 1} of 20" in text_of(screen.app)


async def test_only_what_is_on_the_page_is_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        made(folder, f"p{number:02}", number)
    decoded: list[str] = []
    from flux2.pictures.gallery import Gallery

    honest = Gallery.thumbnail

    def spy(self: Gallery, picture: Any) -> Image.Image:
        decoded.append(picture.path.stem)
        return honest(self, picture)

    monkeypatch.setattr(Gallery, "thumbnail", spy)
    async with gallery() as (screen, pilot):
        assert sorted(decoded) == [f"p{number:02}" for number in range(21, 30)]
        await pilot.press("right", "down")
        await resting(pilot)
        assert len(decoded) == 9
        await pilot.press("pagedown")
        await until(pilot, lambda: len(decoded) == 18)
        assert screen.browser.settled


async def test_the_filter_narrows_and_escape_shows_all(folder: Path) -> None:
    made(folder, "fox", 1)
    made(folder, "house", 2, prompt="a lighthouse in a storm", seed=77, quantization="qint8")
    async with gallery() as (screen, pilot):
        await pilot.press("slash", *"lths 77")
        await until(pilot, lambda: "1 of 1" in text_of(screen.app))
        assert name_of(screen) == "house"
        await pilot.press("enter", "q")  # out of the field; then esc and q go back a step
        await until(pilot, lambda: "of 2" in text_of(screen.app))
        await pilot.press("slash", *"zzz")
        await until(pilot, lambda: "No picture is like that" in text_of(screen.app))
        assert screen.check_action("open", ()) is False
        await pilot.press("down", "escape", "escape")
        await until(pilot, lambda: screen.app.screen is screen.app.dashboard)


async def test_favourites_are_marked_remembered_and_shown_alone(folder: Path) -> None:
    made(folder, "one", 1)
    made(folder, "two", 2)
    async with gallery() as (screen, pilot):
        await pilot.press("right", "f")
        await until(pilot, lambda: "★" in text_of(screen.app))
        assert screen.current in Favourites()
        await pilot.press("o")
        await until(pilot, lambda: "1 of 1" in text_of(screen.app))
        assert name_of(screen) == "one"
        await pilot.press("f")
        await until(pilot, lambda: "none" in text_of(screen.app))
        await pilot.press("o")
        await until(pilot, lambda: "of 2" in text_of(screen.app))
        await until(pilot, lambda: "★" not in text_of(screen.app))


async def test_a_picture_that_has_just_been_made_appears(folder: Path) -> None:
    made(folder, "one", 1)
    backend = ReplayBackend()
    async with gallery(backend) as (screen, pilot):
        assert "1 of 1" in text_of(screen.app)
        path = made(folder, "two", 2)
        backend.feed(ev.RunFinished(run="r9", path=str(path), seed=1, seconds=1.0, peaks={}, timings={}))
        await until(pilot, lambda: "of 2" in text_of(screen.app))
        assert name_of(screen) == "one"  # the cursor stays on its picture


async def test_the_dashboards_news_repaint_nothing_here_and_are_there_afterwards(folder: Path) -> None:
    made(folder, "one", 1)
    events = events_of_a_run(9)
    backend = ReplayBackend(past=tuple(events_of_a_run(3)), queue=queue_of("a cat"))
    async with gallery(backend) as (screen, pilot):
        app, painted = screen.app, []
        await pilot.pause(0.5)
        app._display = lambda *_: painted.append(1)  # type: ignore[method-assign]
        backend.feed(*events[len(events_of_a_run(3)) :])
        await until(pilot, lambda: app.session.run is not None and app.session.run.step == 9)
        await pilot.pause(0.5)
        assert painted == []
        del app._display
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.dashboard)
        await until(pilot, lambda: "9 of 12" in text_of(app))


async def test_damaged_foreign_and_hostile_files(folder: Path) -> None:
    folder.mkdir()
    (folder / "bro\x1b[31mken.png").write_bytes(b"\x89PNG\r\n\x1a\nnonsense")
    Image.new("RGB", (32, 32)).save(folder / "foreign.png")
    made(folder, "hostile", prompt="a fox\x1b]0;pwned\x07 and \x9b2J more")
    cut = made(folder, "cut")
    cut.write_bytes(cut.read_bytes()[:-60])
    async with gallery(size=(120, 40)) as (screen, pilot):
        for place in range(4):
            await pilot.press("home", *["right"] * place, "enter")
            await until(pilot, lambda: isinstance(screen.app.screen, Viewer))
            assert is_plain(text_of(screen.app))
            await pilot.press("escape")
        await resting(pilot)
        for words in ("damaged", "no settings"):
            assert words in text_of(screen.app)
        assert is_plain(text_of(screen.app))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: screen.browser.lines)
        for words in ("damaged", "no settings"):
            assert words in text_of(screen.app)
        assert is_plain(text_of(screen.app))


def is_plain(text: str) -> bool:
    """Whether a terminal would obey nothing of it."""
    return all(character.isprintable() or character == "\n" for character in text)


async def test_an_empty_gallery_says_what_to_do(folder: Path) -> None:
    assert not folder.exists()
    async with gallery() as (screen, pilot):
        await until(pilot, lambda: "No pictures yet" in text_of(screen.app))
        await pilot.press("enter", "f", "c", "e", "m", "delete", "y", "space", "end", "pagedown")
        assert screen.app.screen is screen


async def test_trash_asks_moves_and_tells_where(folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    moved = tmp_path / "trash"
    moved.mkdir()
    monkeypatch.setattr("send2trash.send2trash", lambda path: path.rename(moved / path.name))
    one, two = made(folder, "one", 1), made(folder, "two", 2)
    async with gallery() as (screen, pilot):
        await pilot.press("delete")
        await until(pilot, lambda: "Move two.png to the trash?" in text_of(screen.app))
        await pilot.press("n")
        assert two.exists()
        await pilot.press("delete", "delete")
        await until(pilot, lambda: not two.exists())
        await until(pilot, lambda: "two.png is in" in text_of(screen.app))
        assert (moved / "two.png").exists()
        assert name_of(screen) == "one"
        assert one.exists()


async def test_without_a_trash_nothing_is_deleted_unasked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError("no trash on this volume")

    monkeypatch.setattr("send2trash.send2trash", refuse)
    path = made(folder, "[one]")
    async with gallery() as (screen, pilot):
        for answer, kept in (("n", True), ("y", False)):
            await pilot.press("delete", "y")
            await until(pilot, lambda: "no trash on this volume" in text_of(screen.app))
            assert isinstance(screen.app.screen, Confirm)
            await pilot.press(answer)
            await until(pilot, lambda kept=kept: path.exists() is kept)  # type: ignore[misc]


async def test_copying_goes_through_the_terminal_and_is_shown(folder: Path) -> None:
    made(folder, "one")
    async with gallery() as (screen, pilot):
        for key, what, copied in (("y", "path", "one.png"), ("p", "prompt", FOX.prompt), ("s", "seed", "42")):
            await pilot.press(key)
            assert screen.app.clipboard.endswith(copied)
            await until(pilot, lambda what=what: f"Copied the {what}" in text_of(screen.app))  # type: ignore[misc]


async def test_the_scp_line_is_there_over_ssh_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(folder, "it's one")
    async with gallery() as (screen, pilot):
        await pilot.press("u")
        assert screen.app.clipboard == ""
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 50000 10.0.0.2 2222")
    async with gallery(remote=True) as (screen, pilot):
        await pilot.press("u")
        assert screen.app.clipboard.startswith("scp -P 2222 '")
        assert "@10.0.0.2:" in screen.app.clipboard
        await until(pilot, lambda: "scp -P 2222" in text_of(screen.app))


async def test_other_programs_settings_become_those_of_the_next_picture(folder: Path) -> None:
    folder.mkdir()
    png(folder / "theirs.png", parameters="a dog\nSteps: 9, Seed: 5, Size: 512x256")
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("e")
        await until(pilot, lambda: app.screen is app.dashboard and app.dashboard.prompt.editor.text == "a dog")
        assert (app.choices.size, app.choices.steps, app.choices.seed) == ((512, 256), 9, 5)


async def test_its_settings_become_those_of_the_next_picture(folder: Path) -> None:
    made(folder, "one", prompt="a fox\nasleep", quantization="int4", width=256, height=192, steps=9, seed=5)
    async with gallery() as (screen, pilot):
        app = screen.app
        await pilot.press("e")
        await settled(pilot)
        assert app.screen is app.dashboard
        assert app.dashboard.prompt.editor.text == "a fox\nasleep"
        assert app.dashboard.prompt.editor.has_focus
        choices = app.choices
        assert (choices.quantization, choices.size, choices.steps) == ("int4", (256, 192), 9)
        assert (choices.seed, choices.seed_mode) == (5, "locked")


async def test_more_like_this_queues_the_next_seeds(folder: Path) -> None:
    made(folder, "one", quantization="int4")
    backend = ReplayBackend()
    async with gallery(backend) as (_, pilot):
        await pilot.press("m", "2")
        await until(pilot, lambda: len(backend.enqueued) == 2)
        assert [request.seed for request in backend.enqueued] == [43, 44]
        assert {(request.prompt, request.quantization) for request in backend.enqueued} == {(FOX.prompt, "int4")}


async def test_the_ways_back(folder: Path) -> None:
    made(folder, "one")
    async with gallery() as (screen, pilot):
        app = screen.app
        for keys in (["escape"], ["q"], ["1"], ["enter", "1"], ["enter", "escape", "escape"]):
            await pilot.press(*keys)
            await until(pilot, lambda: app.screen is app.dashboard)
            await pilot.press("3")
            await until(pilot, lambda: isinstance(app.screen, GalleryScreen) and app.screen.current is not None)


_WHERE_THERE_IS_SOMETHING_TO_DO = {"Queue what is missing", "Compare strengths", "Before and after"}
"""Commands that these pictures give no occasion for: they have neither LoRAs nor sources."""


@pytest.mark.parametrize(("keys", "table"), [([], GALLERY_KEYS), (["enter"], VIEWER_KEYS), (["c"], COMPARE_KEYS)])
async def test_help_and_palette_are_of_the_screen(folder: Path, keys: list[str], table: tuple[Any, ...]) -> None:
    for level in ("bf16", "qint8", "int4"):
        made(folder, level, quantization=level)
    async with gallery(remote=True) as (screen, pilot):
        app = screen.app
        await pilot.press(*keys)
        await pilot.pause(0.3)
        names = {command.title for command in app.get_system_commands(app.screen)}
        assert {key.command for key in table if key.command} - names <= _WHERE_THERE_IS_SOMETHING_TO_DO
        await pilot.press("question_mark")
        await pilot.pause(0.1)
        assert isinstance(app.screen, Help)
        assert table[0].help in text_of(app)


def some_pictures(folder: Path) -> None:
    made(folder, "fox", 9, (190, 80, 40), quantization="int4")
    made(folder, "house", 8, (40, 70, 150), prompt="a lighthouse in a storm, waves over the rocks", seed=1234)
    made(folder, "snow", 7, (220, 225, 235), prompt="雪の中の狐、夜明け", quantization="qint8", seed=7)
    (folder / "broken.png").write_bytes(b"no PNG")
    os.utime(folder / "broken.png", (1_577_836_800, 1_577_836_800))


@pytest.mark.parametrize(
    ("size", "theme"), [((80, 24), "midnight"), ((120, 40), "midnight"), ((120, 40), "paper")], ids=str
)
def test_gallery_looks(snap_compare: Compare, folder: Path, size: tuple[int, int], theme: str) -> None:
    some_pictures(folder)

    async def open_gallery(pilot: Pilot[None]) -> None:
        await settled(pilot)
        await pilot.press("escape", "3")
        await resting(pilot)
        await pilot.press("right" if size[0] > 100 else "down", "f")
        screen = pilot.app.screen
        assert isinstance(screen, GalleryScreen)
        thumbnail = screen.thumbnail
        await until(pilot, lambda: "★ favourite" in text_of(screen.app))
        await until(pilot, lambda: not screen.browser.lines or (thumbnail.settled and thumbnail._drawn is not None))
        await resting(pilot)

    assert snap_compare(make_app(ReplayBackend(), theme=theme), terminal_size=size, run_before=open_gallery)
