"""Pictures that are handed in are kept whole, and known by what they hold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flux2.attachment import Attachment
from flux2.errors import Flux2Error, RequestError
from flux2.pictures.attachments import attach, is_kept, opened_attachment, place_of
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


def test_a_damaged_or_missing_copy_is_said(home: Path) -> None:
    attached = attach(save(home / "fox.png", Image.new("RGB", (20, 20))))
    place = place_of(attached)
    place.write_bytes(place.read_bytes()[:-1])
    with pytest.raises(RequestError, match="damaged"), opened_attachment(attached):
        pass
    place.unlink()
    assert not is_kept(attached)
    with pytest.raises(RequestError, match="attach it again"), opened_attachment(attached):
        pass


def test_a_request_travels_with_its_pictures_and_what_they_hold_decides(home: Path) -> None:
    one = attach(save(home / "one.png", Image.new("RGB", (20, 20), "red")))
    two = attach(save(home / "two.png", Image.new("RGB", (20, 20), "blue")))
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
