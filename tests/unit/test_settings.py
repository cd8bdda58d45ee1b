"""The user's settings file: what is right in it is used, what is wrong is said with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux2 import folders
from flux2.errors import Flux2Error
from flux2.pictures.images import default_path
from flux2.request import GenerationRequest
from flux2.settings import (
    SETTINGS,
    Settings,
    SettingsError,
    complaint_about,
    overridden,
    read_settings,
    settings,
    settings_path,
    template,
    write_setting,
)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    for name in ("FLUX2_OUTPUT", "FLUX2_MEMORY_BUDGET", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(text: str) -> None:
    settings_path().parent.mkdir(parents=True, exist_ok=True)
    settings_path().write_text(text, "utf-8")


def test_without_a_file_there_are_defaults() -> None:
    assert settings() == Settings()
    assert read_settings().complaints == ()


def test_every_default_is_one_that_may_be_set() -> None:
    assert [complaint_about(item, item.default) for item in SETTINGS] == [""] * len(SETTINGS)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fps = 500", "line 2: fps = 500 is out of range"),
        ("fps = true", "line 2: fps is True; write a whole number."),
        ('graphics = "svg"', "line 2: graphics is 'svg'; choose auto, halfcell, kitty, sixel, none."),
        ("colour = 1", "line 2: 'colour' is no setting; there are model, "),
        ('output_name = "{prompt}-{sed}"', "has no {sed}; use {prompt}, {seed}"),
        ('output_name = "../{seed}"', "must be a name"),
        ('output_name = ""', "is empty"),
        ('memory_budget = "lots"', "is not a size"),
        ("theme", "line 2: "),
        ('theme = "unclosed', "line 2: "),
        ("[keys]\ncancel = 1", "line 3: cancel is 1; write a key"),
        ("keys = 1", "line 2: keys must be a table"),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_the_rest_used(line: str, said: str) -> None:
    write(f'model = "klein-4b"\n{line}\n')
    read = read_settings()
    assert len(read.complaints) == 1
    assert said in read.complaints[0]
    assert read.complaints[0].startswith("settings.toml line ")
    assert read.settings == Settings(model="klein-4b")


def test_several_faults_are_all_said() -> None:
    write('theme = "paper"\nnonsense\nfps = -1\nmodel = 3\n= 4\n[keys]\nrun = ["ctrl+j", "f2"]\n')
    read = read_settings()
    assert sorted(int(said.split("line ")[1].split(":")[0]) for said in read.complaints) == [2, 3, 4, 5]
    assert read.settings == Settings(theme="paper", keys={"run": "ctrl+j,f2"})


def test_a_file_that_is_no_text_at_all() -> None:
    settings_path().parent.mkdir(parents=True)
    settings_path().write_bytes(b"\xff\xfe\x00binary")
    assert read_settings().settings == Settings()
    assert "can't be read" in read_settings().complaints[0]
    write("]]]\n" * 100)
    assert read_settings().settings == Settings()


def test_a_change_leaves_everything_else_as_it_is() -> None:
    write('# mine\ntheme = "paper"  # for the day\n\n[keys]\n# none yet\n')
    write_setting("theme", "ember")
    write_setting("fps", 10)
    text = settings_path().read_text()
    for kept in ("# mine", "# for the day", "# none yet", 'theme = "ember"'):
        assert kept in text
    assert settings() == Settings(theme="ember", fps=10)


def test_a_new_file_explains_every_setting() -> None:
    write_setting("notify", "bell")
    text = settings_path().read_text()
    assert all(f"# {item.metadata['help']}" in text for item in SETTINGS)
    assert text.count("notify = ") == 1
    assert settings() == Settings(notify="bell")
    write(template())
    assert read_settings() == read_settings(settings_path())
    assert settings() == Settings()


def test_a_broken_file_is_not_written_over() -> None:
    write("theme = \n")
    with pytest.raises(SettingsError, match="it is no TOML"):
        write_setting("theme", "paper")
    assert settings_path().read_text() == "theme = \n"


def test_a_link_to_a_file_elsewhere_stays_one(tmp_path: Path) -> None:
    dotfiles = tmp_path / "dotfiles.toml"
    dotfiles.write_text('theme = "paper"\n')
    settings_path().parent.mkdir(parents=True)
    settings_path().symlink_to(dotfiles)
    write_setting("theme", "harbor")
    assert settings_path().is_symlink()
    assert dotfiles.read_text() == 'theme = "harbor"\n'


def test_a_folder_that_cannot_be_written_is_a_sentence(home: Path) -> None:
    (home / "config").write_text("a file")
    with pytest.raises(Flux2Error):
        write_setting("theme", "paper")


def test_the_folders_follow_the_settings_and_the_environment_goes_first(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(f'output_folder = "{home}/pictures"\nmodels_folder = "{home}/models"\n')
    assert folders.pictures_dir() == home / "pictures"
    assert folders.models_dir() == home / "models"
    monkeypatch.setenv("FLUX2_OUTPUT", str(home / "elsewhere"))
    assert folders.pictures_dir() == home / "elsewhere"
    items = {item.name: item for item in SETTINGS}
    assert overridden(items["output_folder"]) == "FLUX2_OUTPUT"
    assert overridden(items["models_folder"]) == ""


def test_folders_of_the_settings_count_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write('output_folder = "pictures"\nmodels_folder = "~/models"\n')
    monkeypatch.chdir(tmp_path)
    assert folders.pictures_dir() == Path.home() / "pictures"
    assert folders.models_dir() == Path.home() / "models"


def test_names_of_pictures_follow_their_pattern() -> None:
    request = GenerationRequest(prompt="A red fox!", model="klein-4b", quantization="int4", width=512, height=256)
    folder = Path("/out")
    assert default_path(folder, request, 7) == Path("/out/a-red-fox-7.png")
    assert default_path(folder, request, 7, "{model}/{seed} {width}x{height} {quantization}") == Path(
        "/out/klein-4b/7 512x256 int4.png"
    )
