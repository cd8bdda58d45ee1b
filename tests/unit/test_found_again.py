"""Taking the settings of a picture finds the pictures again that it was made with, or says which are missing."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flux2.cli import main, parse
from flux2.commands.request_options import read_request
from flux2.errors import RequestError
from flux2.paths import attachments_dir
from flux2.pictures.attachments import attach, check_kept
from flux2.pictures.foreign.taken_settings import take_settings
from flux2.pictures.found_again import find_again
from flux2.pictures.image_metadata import ImageMetadata
from flux2.pictures.images import save_png
from flux2.request import GenerationRequest

RED, BLUE = "red", "blue"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FLUX2_OUTPUT", str(tmp_path / "pictures"))
    (tmp_path / "here").mkdir()
    (tmp_path / "pictures" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path


def drawn(path: Path, colour: str) -> Path:
    Image.new("RGB", (64, 96), colour).save(path, "PNG")
    return path


@pytest.fixture
def request_(here: Path) -> GenerationRequest:
    """A request with two references, which were attached from files that are gone."""
    paths = [drawn(here / "cat.png", RED), drawn(here / "room.png", BLUE)]
    asked = GenerationRequest(prompt="image 1 in image 2", references=tuple(map(attach, paths)), seed=1)
    for path in paths:
        path.unlink()
    return asked


def forget() -> None:
    shutil.rmtree(attachments_dir())


def test_what_is_kept_needs_no_file(request_: GenerationRequest, here: Path) -> None:
    assert find_again(request_, here / "here" / "made.png").request == request_


@pytest.mark.parametrize("place", ["here/cat.png", "pictures/cat.png", "pictures/below/cat.png"])
def test_a_file_of_the_name_that_holds_it_is_found_beside_the_picture_and_in_the_pictures_folder(
    request_: GenerationRequest, here: Path, place: str
) -> None:
    forget()
    drawn(here / place, RED)
    drawn(here / "pictures/below/room.png", BLUE)
    found = find_again(request_, here / "here" / "made.png")
    assert (found.request, found.complaint) == (request_, "")
    check_kept(found.request.attachments)


def test_a_file_of_the_name_that_holds_another_picture_is_not_taken(request_: GenerationRequest, here: Path) -> None:
    forget()
    drawn(here / "here/cat.png", BLUE)
    drawn(here / "here/room.png", BLUE)
    found = find_again(request_, here / "here" / "made.png")
    assert found.request.references == request_.references[1:]
    assert found.missing == ("image 1 (cat.png)",)
    assert "image 1 (cat.png) is not here any more; put the file into" in found.complaint


def test_without_its_source_nothing_stays_of_what_was_done_to_it(request_: GenerationRequest, here: Path) -> None:
    cat, room = request_.references
    asked = replace(request_, references=(room,), source=cat, mask=room, strength=0.5, source_as_reference=True)
    forget()
    drawn(here / "here/room.png", BLUE)
    found = find_again(asked, here / "here" / "made.png")
    assert found.missing == ("the source (cat.png)",)
    assert found.request == replace(request_, references=(room,))
    forget()
    (here / "here/room.png").unlink()
    assert find_again(asked, here / "x.png").missing == ("image 2 (room.png)", "the source (cat.png)")


@pytest.mark.parametrize("name", ["", "..", "../../etc/passwd", "a\0b"])
def test_a_name_that_is_none_leads_nowhere(request_: GenerationRequest, here: Path, name: str) -> None:
    forget()
    asked = replace(request_, references=(replace(request_.references[0], name=name),))
    assert find_again(asked, here / "x.png").missing


@pytest.fixture
def made(request_: GenerationRequest, here: Path) -> Path:
    """A picture that says how it was made, of a source, a mask and a reference."""
    cat, room = request_.references
    asked = replace(
        request_, references=(room,), source=cat, mask=cat, strength=0.5, width=64, height=96, steps=4, guidance=1.0
    )
    return save_png(Image.new("RGB", (64, 96)), here / "here" / "made.png", ImageMetadata(request=asked))


def test_a_picture_keeps_what_was_handed_in_and_its_settings_bring_it_back(
    made: Path, request_: GenerationRequest
) -> None:
    taken = take_settings(made, {})
    cat, room = request_.references
    assert taken.is_all and taken.left_out == ""
    assert (taken.request.source, taken.request.mask, taken.request.references) == (cat, cat, (room,))
    assert taken.request.strength == 0.5
    forget()
    taken = take_settings(made, {})
    assert not taken.is_all and "image 1 (room.png) and the source (cat.png) are not here" in taken.left_out
    assert taken.request.validated().attachments == ()


def test_the_command_line_takes_them_too_and_what_is_typed_goes_before(made: Path, request_: GenerationRequest) -> None:
    def asked(*arguments: str) -> GenerationRequest:
        return read_request(parse(["t2i", *arguments, "--from", str(made)])).validated()

    cat = request_.references[0]
    assert (asked().prompt, asked().source, asked().strength, asked().seed) == (request_.prompt, cat, 0.5, 1)
    assert (asked("at night").prompt, asked("--seed", "7").seed) == ("at night", 7)
    other = drawn(Path("other.png"), "lime")
    changed = asked("--image", str(other))
    assert (str(changed.source), changed.references, changed.mask) == ("other.png", (), cat)
    forget()
    with pytest.raises(RequestError, match=r"room\.png.* not here any more"):
        asked()


def test_info_says_what_was_handed_in_and_where_it_is(made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(made)]) == 0
    out = capsys.readouterr().out
    assert "room.png: 64×96, SHA-256 " in out and "…, kept" in out
    forget()
    drawn(Path("cat.png"), RED)
    main(["info", str(made)])
    out = capsys.readouterr().out
    assert f"…, {Path('cat.png').absolute()}" in out and "…, not here any more" in out
