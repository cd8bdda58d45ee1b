"""Settings, keys and themes: changed on the screen or in their files, while it runs; and what is wrong with them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from textual.color import Color

from flux2.paths import config_dir
from flux2.settings import SettingsFile, read_settings, settings, settings_path
from tests.tui.replay import ReplayBackend, mid_run
from tests.tui.screen import running, settled, text_of
from tui.app import Flux2App
from tui.keys.user_keys import user_keys
from tui.screens.settings_screen import SettingsScreen

THEME = """
title = "Mine"
[colors]
background = "#000000"
foreground = "#ffffff"
accent = "{accent}"
"""


def write(text: str) -> SettingsFile:
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text(text, "utf-8")
    _touch(settings_path())
    return read_settings()


_ages = iter(range(1, 10_000))


def _touch(path: Path) -> None:
    """Another time of change than before, however coarse the file system's clock."""
    os.utime(path, (1_700_000_000 + next(_ages),) * 2)


def toasts(app: Flux2App) -> str:
    return "\n".join(toast.message for toast in app._notifications)


# --- the screen ----------------------------------------------------------------------------------------------------


async def test_settings_are_changed_on_their_screen_and_in_the_file() -> None:
    write("# mine\nfps = 20\n")
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "comma")
        await settled(pilot)
        assert isinstance(app.screen, SettingsScreen)
        names = [item.name for item in _items()]
        for name, keys in (
            ("keep_text_encoder", ["enter"]),
            ("notify", ["enter", "down", "enter"]),
            ("output_name", ["enter", "end", *"-x", "enter"]),
            ("fps", ["enter", "backspace", "backspace", *"5", "enter"]),
        ):
            await pilot.press("home", *["down"] * names.index(name), *keys)
            await settled(pilot)
        assert isinstance(app.screen, SettingsScreen)
        chosen = settings()
        assert (chosen.keep_text_encoder, chosen.notify, chosen.output_name, chosen.fps) == (
            True,
            "bell",
            "{prompt}-{seed}-x",
            5,
        )
        assert settings_path().read_text().startswith("# mine\nfps = 5\n")
        await pilot.press("escape")
        await settled(pilot)
        assert app.screen is app.dashboard


def _items() -> tuple[object, ...]:
    from flux2.settings import SETTINGS

    return SETTINGS


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_the_files_path_is_broken_between_folders(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "a-home-of-some-length" / "and-another-folder-below-it"
    monkeypatch.setenv("FLUX2_HOME", str(home))
    async with running(ReplayBackend(), size) as (app, pilot):
        await pilot.press("escape", "comma")
        await settled(pilot)
        text = text_of(app)
        assert "/settings.toml" in text
        for folder in settings_path().parts[-5:]:
            assert folder in text


async def test_what_is_typed_wrongly_is_said_and_not_written() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        await pilot.press("escape", "comma")
        await settled(pilot)
        names = [item.name for item in _items()]
        await pilot.press("home", *["down"] * names.index("output_name"), "enter")
        await settled(pilot)
        await pilot.press("end", *"{colour}", "enter")
        await settled(pilot)
        assert "has no {colour}" in " ".join(text_of(app).replace("│", " ").split())
        await pilot.press("escape")
        await settled(pilot)
        assert not settings_path().exists()


async def test_a_new_users_first_choices_are_the_settings() -> None:
    write('model = "klein-4b"\nquantization = "int4"\n')
    async with running(ReplayBackend()) as (app, _):
        assert (app.choices.model, app.choices.quantization) == ("klein-4b", "int4")


async def test_faults_are_told_with_their_lines_at_the_start_and_when_they_come() -> None:
    write('theme = "paper"\nfps = 1000\n')
    async with running(ReplayBackend(), theme="") as (app, pilot):
        assert "settings.toml line 2: fps = 1000 is out of range" in toasts(app)
        assert app.theme == "paper"
        write('theme = "ember"\n[keys]\nnothing = "x"\n')
        app.preferences.look()
        await pilot.pause()
        assert app.theme == "ember"
        assert "settings.toml line 3: nothing is called 'nothing'" in toasts(app)


async def test_a_broken_file_is_left_alone_and_the_theme_worn_all_the_same() -> None:
    write("theme = \n")
    async with running(ReplayBackend()) as (app, pilot):
        app.preferences.set("theme", "paper")
        await pilot.pause()
        assert app.theme == "paper"
        assert "it is no TOML" in app.session.log[-1].message
        assert settings_path().read_text() == "theme = \n"


# --- keys ----------------------------------------------------------------------------------------------------------


async def test_remapped_keys_act_and_are_shown_in_footer_help_and_hint() -> None:
    write('[keys]\nrun = "f2"\nmodel = ["n", "f3"]\nquantization = "m"\n')
    backend = ReplayBackend()
    async with running(backend, size=(120, 60)) as (app, pilot):
        assert "press f2 to make" in text_of(app)
        await pilot.press(*"a fox", "ctrl+j", "f2", "escape")
        await settled(pilot)
        assert [request.prompt for request in backend.enqueued] == ["a fox"]
        footer = text_of(app).splitlines()[-1]
        assert "f2 run" in footer
        assert "n model" in footer
        assert "m quant" in footer
        await pilot.press("n")
        await settled(pilot)
        assert " Model" in text_of(app)
        await pilot.press("escape", "question_mark")
        await settled(pilot)
        assert "n, f3" in text_of(app)


async def test_a_letters_new_key_acts_in_the_prompt_too_and_a_new_letter_is_text_there() -> None:
    write('[keys]\nhold = "f9"\nreject = "k"\n')
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press(*"kh", "f9")
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "kh"
        assert backend.held == [True]
        assert backend.cancelled == []
        assert "f9 hold" in text_of(app).splitlines()[-1]
        assert "k reject" not in text_of(app).splitlines()[-1]
        await pilot.press("escape")
        await settled(pilot)
        assert "k reject" in text_of(app).splitlines()[-1]
        await pilot.press("k")
        await settled(pilot)
        assert backend.cancelled == ["r1"]


@pytest.mark.parametrize("key", ["ctrl+x", "f6", "ctrl+w"])
async def test_a_key_with_which_the_editor_does_something_is_the_users_there_too(key: str) -> None:
    write(f'[keys]\ncancel = "{key}"\n')
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press(*"a fox", key)
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == "a fox"
        assert f"y, {key} yes" in text_of(app)
        await pilot.press(key)
        await settled(pilot)
        assert backend.cancelled == ["r1"]


async def test_other_keys_of_the_editor_stay_its_own() -> None:
    write('[keys]\ncopy-seed = "ctrl+x"\n')  # of pictures, not of this screen
    async with running(mid_run()) as (app, pilot):
        await pilot.press(*"a fox", "f6", "ctrl+x")
        await settled(pilot)
        assert app.dashboard.prompt.editor.text == ""


async def test_a_remapped_key_pressed_twice_cancels_without_asking() -> None:
    write('[keys]\ncancel = "f9"\n')
    backend = mid_run()
    async with running(backend) as (app, pilot):
        await pilot.press("f9")
        await settled(pilot)
        assert "y, f9 yes" in text_of(app)
        await pilot.press("x")
        assert backend.cancelled == []
        await pilot.press("f9")
        await settled(pilot)
        assert backend.cancelled == ["r1"]


async def test_keys_change_while_the_screen_runs() -> None:
    async with running(ReplayBackend()) as (app, pilot):
        write('[keys]\nhelp = "f9"\n')
        app.preferences.look()
        await pilot.press("escape", "f9")
        await settled(pilot)
        assert type(app.screen).__name__ == "Help"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ('cancel = "m"', "line 2: m already means 'model'"),
        ('cancle = "f9"', "line 2: nothing is called 'cancle'; did you mean cancel"),
        ('cancel = "ctrl+m"', "line 2: ctrl+m can't be told from enter"),
        ('cancel = "crtl+x"', "line 2: 'crtl+x' is no key"),
        ('cancel = "left"', "line 2: ← is needed where one writes"),
        ('run = "enter"', "line 2: enter already means"),
        ('select = "f9"', "line 2: nothing is called 'select'"),
        ('edit-queued = "f9"', "line 2: the keys of 'edit-queued' can't be changed"),
        ('cancel = "f9"\nmodel = "f9"', "line 2: f9 already means 'model'"),
        ('sooner = "m"', "line 2: m already means 'model'"),
    ],
)
def test_keys_that_can_not_be_had(keys: str, said: str) -> None:
    chosen, complaints = user_keys(write(f"[keys]\n{keys}\n"))
    assert said in complaints[0]
    assert chosen == {}


def test_keys_may_change_places_and_be_written_as_they_look() -> None:
    chosen, complaints = user_keys(write('[keys]\nmodel = "n"\nquantization = "m"\nhelp = "?"\ncancel = "Ctrl+X"'))
    assert complaints == []
    assert (chosen["help"], chosen["cancel"]) == ("question_mark", "ctrl+x")


def test_one_that_is_refused_has_its_own_key_again() -> None:
    chosen, complaints = user_keys(write('[keys]\nmodel = "ctrl+i"\ncancel = "m"\nlog = "f9"\n'))
    assert len(complaints) == 2
    assert chosen == {"log": "f9"}


# --- themes --------------------------------------------------------------------------------------------------------


async def test_a_users_theme_is_taken_up_and_drawn_anew_while_the_screen_runs() -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True)
    async with running(ReplayBackend()) as (app, pilot):
        (folder / "mine.toml").write_text(THEME.format(accent="#00ff00"))
        app.preferences.look()
        assert "mine" in app.preferences.themes
        app.preferences.set("theme", "mine")
        await pilot.pause()
        assert app.theme_variables["accent"] == "#00FF00"
        (folder / "mine.toml").write_text(THEME.format(accent="#ff0000"))
        _touch(folder / "mine.toml")
        app.preferences.look()
        await pilot.pause()
        assert Color.parse(app.theme_variables["accent"]).r > 250
        (folder / "mine.toml").write_text("title =")
        _touch(folder / "mine.toml")
        app.preferences.look()
        await pilot.pause()
        assert "mine.toml" in toasts(app)
        assert Color.parse(app.theme_variables["accent"]).r > 250


async def test_a_removed_theme_is_no_longer_offered() -> None:
    folder = config_dir() / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(THEME.format(accent="#00ff00"))
    async with running(ReplayBackend()) as (app, pilot):
        assert "mine" in app.preferences.themes
        (folder / "mine.toml").unlink()
        app.preferences.look()
        await pilot.pause()
        assert "mine" not in app.preferences.themes
