"""Whatever a request says of a picture is told beside it."""

from __future__ import annotations

from pathlib import Path

from flux2.pictures.gallery import Picture
from flux2.request_fields import lines
from tests.tui.full_request import FULL
from tui.lines.picture_details import details


def test_every_line_of_a_request_stands_beside_its_picture(tmp_path: Path) -> None:
    picture = Picture(path=tmp_path / "a.png", size=1, changed=1, created=1.0, width=80, height=96, request=FULL)
    told = details(picture, None, favourite=False).plain
    missing = [(name, value) for name, value in lines(FULL).items() if name != "size" and value not in told]
    assert len(lines(FULL)) > 15 and missing == []
    assert "80×96" in told
