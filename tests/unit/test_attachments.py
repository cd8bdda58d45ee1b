"""Pictures that are handed in are kept whole, and known by what they hold."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flux2.errors import Flux2Error, RequestError
from flux2.inputs.attachment import Attachment
from flux2.pictures import attachments
from flux2.pictures.attachments import attach, attach_alpha, check_kept, check_there, opened_attachment, place_of
from flux2.request import GenerationRequest
from flux2.request_fields import decisive, lines


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return tmp_path


def save(path: Path, image: Image.Image, **options: object) -> Path:
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def test_a_picture_that_is_gone_is_still_here(home: Path) -> None:
    path = save(home / "fox.png", Image.linear_gradient("L").resize((40, 30)))
    content = path.read_bytes()
    attached = attach(path)
    path.unlink()
    assert (attached.name, attached.width, attached.height) == ("fox.png", 40, 30)
    assert place_of(attached).read_bytes() == content
    assert place_of(attached).stat().st_mode & 0o777 == 0o600
    with opened_attachment(attached) as image:
        assert image.size == (40, 30)


def test_a_turned_photograph_has_the_size_that_people_see(home: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    attached = attach(save(home / "turned.jpg", Image.new("RGB", (40, 30)), exif=exif))
    assert (attached.width, attached.height) == (30, 40)


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n half of one"])
def test_what_is_no_picture_is_refused_in_a_sentence(home: Path, content: bytes) -> None:
    path = home / "x.png"
    path.write_bytes(content)
    with pytest.raises(Flux2Error, match=r"x\.png"):
        attach(path)
    with pytest.raises(Flux2Error):
        attach(home)
    with pytest.raises(Flux2Error, match="gone"):
        attach(home / "gone.png")


def test_a_damaged_or_missing_copy_is_said_and_attaching_it_again_mends_it(home: Path) -> None:
    path = save(home / "fox.png", Image.new("RGB", (20, 20)))
    attached = attach(path)
    place = place_of(attached)
    for damage in (lambda: place.write_bytes(place.read_bytes()[:-1]), place.unlink, lambda: place.write_bytes(b"")):
        damage()
        with pytest.raises(RequestError, match=r"attach .* again"), opened_attachment(attached):
            pass
        with pytest.raises(RequestError, match=r"attach .* again"):
            check_kept([attached])
        assert attach(path) == attached
        check_kept([attached])


def test_a_size_that_was_made_up_is_said(home: Path) -> None:
    attached = attach(save(home / "fox.png", Image.new("RGB", (20, 30))))
    with pytest.raises(RequestError, match="20×30 pixels and was said to have 30×20"):
        check_kept([replace(attached, width=30, height=20)])


def test_one_that_is_gone_is_not_queued(home: Path) -> None:
    attached = attach(save(home / "fox.png", Image.new("RGB", (20, 20))))
    check_there([attached])
    with pytest.raises(RequestError, match="attach it again"):
        check_there([attached, replace(attached, digest="0" * 64)])


def test_all_pictures_of_a_request_are_known() -> None:
    one, two, three = (Attachment(digest=f"{number}" * 64) for number in (1, 2, 3))
    asked = GenerationRequest(prompt="a fox", references=(one, two), mask=three)
    assert asked.attachments == (one, two, three)


@pytest.mark.parametrize(
    ("code", "said"), [(errno.ENOSPC, "the disk is full"), (errno.EACCES, "you may not write there")]
)
def test_a_store_that_takes_nothing_is_said(home: Path, monkeypatch: pytest.MonkeyPatch, code: int, said: str) -> None:
    path = save(home / "fox.png", Image.new("RGB", (20, 20)))

    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(attachments, "write_atomically", refuse)
    with pytest.raises(Flux2Error, match=rf"fox\.png can't be kept in .*: {said}"):
        attach(path)


def test_transparency_becomes_a_mask(home: Path) -> None:
    picture = Image.new("RGBA", (40, 30), (200, 10, 10, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 10, 30))
    exif = Image.Exif()
    exif[0x0112] = 6
    mask = attach_alpha(save(home / "cut.png", picture, exif=exif))
    assert (mask.name, mask.width, mask.height) == ("cut-alpha.png", 30, 40)
    with opened_attachment(mask) as image:
        assert image.mode == "L"
        assert {image.getpixel((x, y)) for x in range(30) for y in range(10)} == {255}
        assert {image.getpixel((x, y)) for x in range(30) for y in range(10, 40)} == {0}
    with pytest.raises(RequestError, match=r"Nothing of .* is transparent"):
        attach_alpha(save(home / "whole.png", Image.new("RGBA", (40, 30), "red")))


def test_a_request_travels_with_its_pictures_and_what_they_hold_decides(home: Path) -> None:
    one = attach(save(home / "one.png", Image.new("RGB", (64, 64), "red")))
    two = attach(save(home / "two.png", Image.new("RGB", (64, 64), "blue")))
    asked = GenerationRequest(prompt="a fox", references=(one, two), source=one, strength=0.5, outpaint=(0, 8, 0, 8))
    assert GenerationRequest.from_dict(asked.to_dict()) == asked.validated()
    assert decisive(asked) == decisive(replace(asked, references=(replace(one, name="other.png"), two)))
    assert decisive(asked) != decisive(replace(asked, references=(two, one)))
    assert lines(asked)["references"] == "one.png, two.png"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"references": (Attachment(digest="../../etc/passwd"),)},
        {"source": Attachment(digest="")},
        {"mask": Attachment(digest="0" * 64, name="a/b")},
        {"references": (Attachment(digest="0" * 64),) * 11},
        {"strength": 0.0},
        {"strength": float("nan")},
        {"outpaint": (0, 0, 0, 0)},
        {"outpaint": (1, 2, 3)},
        {"reference_pixels": 10},
    ],
)
def test_nonsense_is_refused_in_a_sentence(nonsense: dict[str, object]) -> None:
    with pytest.raises(RequestError):
        GenerationRequest(prompt="a fox", **nonsense).validated()  # type: ignore[arg-type]
