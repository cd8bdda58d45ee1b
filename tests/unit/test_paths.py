"""Places: the system's own, or all under one folder; a socket's address is never too long."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from flux2 import folders, paths
from flux2.store.local import find_local

PLACES = (paths.config_dir, paths.cache_dir, paths.state_dir)


def test_flux2_home_moves_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))
    assert {place() for place in PLACES} == {tmp_path / "config", tmp_path / "cache", tmp_path / "state"}
    assert tmp_path in paths.socket_path().parents or paths.socket_path().parts[1] == "tmp"


def test_the_system_s_own_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUX2_HOME", raising=False)
    places = {place() for place in PLACES}
    assert len(places) >= 2 and all(paths.APP in str(folder) and folder.is_absolute() for folder in places)


def test_relative_places_do_not_move_with_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", "mine")
    monkeypatch.setenv("FLUX2_OUTPUT", "pictures")
    monkeypatch.chdir(tmp_path)
    assert paths.state_dir() == tmp_path / "mine" / "state"
    assert folders.pictures_dir() == tmp_path / "pictures"
    monkeypatch.setenv("FLUX2_OUTPUT", "~/pictures")
    assert folders.pictures_dir() == Path.home() / "pictures"


@pytest.mark.parametrize("home", ["/short", "/" + "x" * 200, "/" + "ü" * 60, "/a/" + "deep/" * 40])
def test_the_socket_s_address_always_fits(home: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", home)
    assert len(os.fsencode(paths.socket_path())) < 104
    assert paths.socket_path() == paths.socket_path()


def test_two_homes_have_two_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    sockets = set()
    for name in ("a", "b"):
        monkeypatch.setenv("FLUX2_HOME", "/" + name * 200)
        sockets.add(paths.socket_path())
    assert len(sockets) == 2


@pytest.mark.parametrize("name", ["~\0", "~\ud800", "a\0b", "\ud800", "~nobody-of-this-name", "x" * 5000])
def test_a_name_that_no_file_can_have_is_the_name_of_none(name: str) -> None:
    assert paths.expand(name) == Path(name)
    assert find_local(name) is None
