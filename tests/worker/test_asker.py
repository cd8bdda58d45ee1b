"""A worker that was started in another shell than the one that asks it."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux2 import asker
from flux2 import events as ev
from flux2.worker.client import connect
from flux2.worker.commands import Enqueue, Hold, Quit, StartDownload
from flux2.worker.launch import is_alive
from tests.hub_server import klein_hub
from tests.worker.home import Home, events_until, eventually, request

TOKEN = "hf_ofTheOtherShell"


async def test_what_is_asked_from_another_shell_is_done_as_that_shell_wants(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Token and output folder are the asker's; the token is in no file that was written."""
    with klein_hub(home.folder, monkeypatch) as hub:
        hub.token = TOKEN
        await home.attach()
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("FLUX2_OUTPUT", str(home.folder / "elsewhere"))
        client = await home.attach()
        assert client.worker.environment["HF_HOME"].startswith(str(home.folder))

        await client.ask(StartDownload("klein-4b"))
        told = [event for event in await events_until(client, ev.Logged) if isinstance(event, ev.DownloadProgress)]
        assert told[-1].state == "finished", told[-1].message

        await client.ask(Enqueue(request("steps=2")))
        finished = (await events_until(client, ev.RunFinished))[-1]
        assert isinstance(finished, ev.RunFinished)
        assert Path(finished.path).parent == home.folder / "elsewhere"
        await client.ask(Quit())
        await eventually(lambda: not is_alive(client.pid))
    assert [path for path in files_of(home.folder) if TOKEN.encode() in path.read_bytes()] == []


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def test_a_request_that_waits_on_the_disk_has_no_shell(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    client = await home.attach()
    await client.ask(Hold(True))
    await client.ask(Enqueue(request("steps=1")))
    assert TOKEN not in (home.folder / "state" / "queue.json").read_text()
    other = await connect(watch=True)
    home.clients.append(other)
    assert TOKEN not in str(other.snapshot)


def test_a_download_has_the_askers_variables_and_no_others_of_their_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://of-the-worker:1")
    monkeypatch.setenv("HF_HOME", "/of/the/worker")
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    with asker.asked_by(dict.fromkeys(asker.CARRIED, "") | {"HF_TOKEN": "theirs"}):
        found = asker.environment()
        assert (found["HF_TOKEN"], found["HF_HOME"]) == ("theirs", "/of/the/worker")
        assert "HTTPS_PROXY" not in found and "HF_ENDPOINT" not in found
    assert asker.environment()["HTTPS_PROXY"] == "http://of-the-worker:1"


def test_paths_are_carried_as_they_are_meant(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", "own.pem")
    assert asker.carried()["SSL_CERT_FILE"] == str(tmp_path / "own.pem")


def test_what_only_a_new_worker_would_have_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLUX2_HOME", raising=False)
    theirs = asker.read_once()
    assert asker.differing(theirs) == []
    assert asker.differing({}) == []
    monkeypatch.setenv("FLUX2_MEMORY_BUDGET", "12GB")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert asker.differing(theirs | {"HF_HOME": "/other/hub"}) == ["HF_HOME", "XDG_CACHE_HOME", "FLUX2_MEMORY_BUDGET"]
