"""Pictures on the command line: which is a reference, which is changed, and what is wrong with them."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from PIL import Image

from flux2.cli import main, parse
from flux2.commands.request_options import read_request
from flux2.request import GenerationRequest


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c.png", "lime"), ("m.png", "white")):
        Image.new("RGB", (64, 96), colour).save(name)
    cut = Image.new("RGBA", (64, 96), "red")
    cut.putpixel((3, 4), (0, 0, 0, 0))
    cut.save("cut.png")
    return folder


def asked(*arguments: str) -> GenerationRequest:
    args: argparse.Namespace = parse(["edit", "at night", *arguments])
    return read_request(args).validated()


def roles(request: GenerationRequest) -> tuple[str, list[str], str]:
    return str(request.source or ""), [each.name for each in request.references], str(request.mask or "")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("--image a.png", ("", ["a.png"], "")),
        ("--image b.png --image a.png", ("", ["b.png", "a.png"], "")),
        ("--images a.png b.png --image c.png", ("", ["a.png", "b.png", "c.png"], "")),
        ("--image-paths a.png b.png", ("", ["a.png", "b.png"], "")),
        ("--image a.png --strength 0.5", ("a.png", [], "")),
        ("--image a.png --image b.png --outpaint 0,16,0,16", ("a.png", ["b.png"], "")),
        ("--mask m.png --image a.png --image b.png --image c.png", ("a.png", ["b.png", "c.png"], "m.png")),
        ("--image cut.png --mask alpha", ("cut.png", [], "cut-alpha.png")),
    ],
)
def test_the_first_is_the_source_where_it_is_changed_and_all_others_are_references(
    arguments: str, expected: tuple[str, list[str], str]
) -> None:
    assert roles(asked(*arguments.split())) == expected


def test_structured_and_threefold_values_arrive() -> None:
    request = asked(
        "--image", "a.png", "--outpaint", "1,2,3,4", "--no-source-as-reference", "--reference-pixels", "65536"
    )
    assert (request.outpaint, request.source_as_reference, request.reference_pixels) == ((1, 2, 3, 4), False, 65536)
    assert asked("--image", "a.png").source_as_reference is None


def test_what_is_asked_for_is_the_same_in_t2i() -> None:
    arguments = ["at night", "--image", "a.png", "--mask", "m.png", "--strength", "0.5", "--seed", "1"]
    one, other = (read_request(parse([command, *arguments])) for command in ("edit", "t2i"))
    assert one == other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("", "no picture to edit; name one with --image"),
        ("--image gone.png", "gone.png can't be read: No such file"),
        ("--image .", "it is a folder"),
        ("--mask alpha", "no picture to edit"),
        ("--strength 0.5", "no picture to edit"),
        ("--image a.png --mask alpha", "Nothing of a.png is transparent"),
        ("--image a.png --strength 0", "Strength 0.0 is out of range"),
        ("--image a.png --strength nan", "Strength nan is out of range"),
        ("--image a.png --outpaint 1,2,3", "Outpainting by 1,2,3 makes no sense"),
        ("--image a.png --reference-pixels 1", "1 pixels for a reference are out of range"),
    ],
)
def test_nonsense_is_one_sentence_before_any_work(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str], here: Path
) -> None:
    before = sorted(here.iterdir())
    assert main(["edit", "at night", *arguments.split()]) in (1, 2)
    out, err = capsys.readouterr()
    assert out == "" and said in err and err.count("\n") == 1
    assert sorted(here.iterdir()) == before


@pytest.mark.parametrize("option", ["--mask alpha", "--mask m.png", "--strength 0.5", "--outpaint 1,2,3,4"])
def test_what_is_done_to_no_picture_is_told_with_the_option_that_names_one(
    option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["t2i", "at night", *option.split()]) == 2
    assert "name it with --image" in capsys.readouterr().err


def test_margins_that_are_no_numbers_are_bad_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["edit", "x", "--image", "a.png", "--outpaint", "wide"])
    assert "such as 0,128,0,128" in capsys.readouterr().err


def test_a_plan_keeps_nothing(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["plan", "--model", "klein-4b", "--image", "a.png", "--image", "b.png", "--memory-budget", "20GB"]) == 0
    assert "klein-4b" in capsys.readouterr().out
    assert not (tmp_path / "home" / "state" / "attachments").exists()
