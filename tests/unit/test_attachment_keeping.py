"""Copies of attached pictures stay as long as they are needed, and take no more room than that."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from flux2.inputs.attachment import Attachment
from flux2.paths import attachments_dir, state_dir
from flux2.pictures import attachment_keeping
from flux2.pictures.attachment_keeping import MOST_DAYS, make_room
from flux2.pictures.attachments import is_kept, keep, place_of

DAY = 86_400


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return tmp_path


def kept(content: bytes, days: float) -> Attachment:
    """A copy that was last used so many days ago."""
    attachment = keep(content, "x.png", (1, 1))
    then = time.time() - days * DAY
    os.utime(place_of(attachment), (then, then))
    return attachment


def test_what_nobody_has_used_for_long_is_removed() -> None:
    old, recent = kept(b"old", MOST_DAYS + 1), kept(b"recent", MOST_DAYS - 1)
    make_room()
    assert (is_kept(old), is_kept(recent)) == (False, True)


def test_beyond_the_most_bytes_those_go_first_that_were_not_used_for_the_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    copies = [kept(bytes([number]) * 10, days) for number, days in enumerate((3, 5, 1, 4))]
    monkeypatch.setattr(attachment_keeping, "MOST_BYTES", 25)
    make_room()
    assert [is_kept(copy) for copy in copies] == [True, False, True, False]
    new = keep(b"new" * 10, "x.png", (1, 1))  # attaching makes room, too, and never takes what was just attached
    assert is_kept(new) and not any(map(is_kept, copies))


@pytest.mark.parametrize("place", ["queue/20261130-010203-000001.json", "screen.json", "runs/r/unfinished.json"])
def test_what_a_request_needs_stays_however_old(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    needed, other = kept(b"needed", 0), kept(b"other", 1)
    file = state_dir() / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"request": {"references": [{"digest": needed.digest}]}}, indent=1))
    os.utime(place_of(needed), (0, 0))
    monkeypatch.setattr(attachment_keeping, "MOST_BYTES", 0)
    make_room()
    assert (is_kept(needed), is_kept(other)) == (True, False)


def test_a_run_that_was_made_keeps_nothing_for_ever() -> None:
    made = kept(b"made", MOST_DAYS + 1)
    file = state_dir() / "runs/r/request.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"source": {"digest": made.digest}}))
    make_room()
    assert not is_kept(made)


def test_where_it_is_unknown_what_is_needed_all_stays() -> None:
    old = kept(b"old", MOST_DAYS + 1)
    (state_dir() / "queue.json").mkdir()
    with pytest.raises(OSError):
        make_room()
    assert is_kept(old)


def test_what_a_broken_off_writing_left_is_removed() -> None:
    draft = place_of(kept(b"x", 0)).with_name(".abc.1234.part")
    for days, stays in ((0.0, True), (0.1, False)):
        draft.write_bytes(b"half")
        os.utime(draft, (time.time() - days * DAY,) * 2)
        make_room()
        assert draft.exists() == stays
    assert len(list(attachments_dir().iterdir())) == 1
