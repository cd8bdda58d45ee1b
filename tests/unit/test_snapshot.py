"""Downloaded files get their names whole or not at all, also on a disk without links, and a short one is noticed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from flux2.checkpoint.files import NEEDED_FILES
from flux2.checkpoint.manifest import HubFile, Manifest, storage
from flux2.folders import models_dir_variable
from flux2.settings import Settings
from flux2.store import process
from flux2.store.local import default_model, find_local, is_ready, lacking
from flux2.store.refusals import in_words
from flux2.store.source import repo_to_download
from tests.hub_server import COMMIT, KLEIN, WEIGHTS, Hub, etag, klein_hub

NEWER = "d0" * 20


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with klein_hub(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True)


def fetch_all(capsys: pytest.CaptureFixture[str]) -> dict[str, object]:
    """Download in this process; the last that it said."""
    capsys.readouterr()
    process.run(KLEIN, NEEDED_FILES)
    said: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return said


def needed(hub: Hub) -> dict[str, bytes]:
    return {path: data for path, data in hub.files.items() if "/" in path or path == "model_index.json"}


def check_complete(hub: Hub) -> Path:
    folder = find_local("klein-4b")
    assert folder and is_ready(folder) and repo_to_download("klein-4b") == ""
    for path, data in needed(hub).items():
        assert (folder / path).read_bytes() == data, path
    return folder


def bytes_on_disk() -> int:
    return sum(p.stat().st_size for p in storage(KLEIN).rglob("*") if p.is_file() and not p.is_symlink())


@pytest.mark.usefixtures("no_links")
def test_without_links_every_file_is_there_once(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder" in fetch_all(capsys)
    folder = check_complete(hub)
    assert not any(path.is_symlink() for path in folder.rglob("*"))
    assert bytes_on_disk() == sum(map(len, needed(hub).values())) + len(COMMIT), "no byte twice: that is what is asked"
    assert (storage(KLEIN) / "refs/main").read_text() == COMMIT


@pytest.mark.usefixtures("no_links")
def test_an_end_while_files_get_their_names_leaves_no_short_one(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, named = Path.replace, 0

    def full(path: Path, target: Path) -> Path:
        nonlocal named
        named += "snapshots" in str(target)
        if named > 3:
            raise OSError(28, "No space left on device")
        return replace(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        assert "The disk is full" in str(fetch_all(capsys)["error"])
    wanted = {path: len(data) for path, data in needed(hub).items()}
    snapshot = storage(KLEIN) / "snapshots" / COMMIT
    there = {path.relative_to(snapshot).as_posix(): path.stat().st_size for path in snapshot.rglob("*.*")}
    assert 0 < len(there) < len(wanted) and there.items() <= wanted.items()
    assert repo_to_download("klein-4b") == KLEIN and default_model() == "pocket"
    sent = sum(hub.sent.values())
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    assert sum(hub.sent.values()) == sent, "all bytes were here"


@pytest.mark.usefixtures("no_links")
def test_a_blob_that_another_snapshot_links_to_is_copied_and_the_room_for_it_asked(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = storage(KLEIN) / "blobs" / etag(hub.files[WEIGHTS])
    other = storage(KLEIN) / "snapshots" / NEWER / WEIGHTS
    other.parent.mkdir(parents=True)
    blob.parent.mkdir(parents=True)
    blob.write_bytes(hub.files[WEIGHTS])
    other.symlink_to(Path("../../../blobs") / blob.name)
    wanted = sum(map(len, needed(hub).values()))  # of which the weights are here, and needed once more
    usage = shutil.disk_usage("/")._replace(free=process.ROOM_TO_LEAVE + wanted - 1)
    with monkeypatch.context() as patched:
        patched.setattr(process.shutil, "disk_usage", lambda _: usage)
        assert "make 1 B of room" in str(fetch_all(capsys)["error"])
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    assert other.read_bytes() == hub.files[WEIGHTS] and hub.sent[WEIGHTS] == 0


@pytest.mark.parametrize("by_us", [True, False], ids=["ours", "another program's"])
@pytest.mark.parametrize("path", [WEIGHTS, "tokenizer/tokenizer.json", "vae/config.json"])
@pytest.mark.parametrize("damage", ["cut", "empty", "zeros"])
def test_a_short_or_damaged_file_is_no_download_and_comes_again_alone(
    hub: Hub, capsys: pytest.CaptureFixture[str], path: str, damage: str, by_us: bool
) -> None:
    assert "folder" in fetch_all(capsys)
    folder = check_complete(hub)
    data = hub.files[path]
    broken = {"cut": data[: len(data) // 2], "empty": b"", "zeros": bytes(len(data))}[damage]
    (folder / path).unlink()
    (folder / path).write_bytes(broken)  # a copy, as where there are no links
    (storage(KLEIN) / "blobs" / etag(data)).unlink()
    if not by_us:
        shutil.rmtree(Path(str(Manifest.last(KLEIN) and storage(KLEIN).parents[1] / "flux2" / "cache")))
    noticed = by_us or path.endswith((".safetensors", "config.json"))
    if (damage, path) == ("zeros", "tokenizer/tokenizer.json"):  # as long as it has to be, and nobody parses it
        noticed = False
    assert (repo_to_download("klein-4b") == KLEIN) is noticed
    assert (lacking(folder) == folder / path) is noticed
    before = dict(hub.sent)
    assert "folder" in fetch_all(capsys)
    assert {name for name, count in hub.sent.items() if count != before.get(name)} == {path}
    check_complete(hub)


@pytest.mark.parametrize("path", ["transformer/../../x.json", "tokenizer//x", "tokenizer/./x", "vae/..\\x.json"])
def test_a_path_that_leads_elsewhere_is_refused(hub: Hub, capsys: pytest.CaptureFixture[str], path: str) -> None:
    hub.files[path] = b"{}"
    assert "no path; it is not downloaded" in str(fetch_all(capsys)["error"])
    assert sum(hub.sent.values()) == 0


def test_a_complete_older_snapshot_goes_before_a_newer_part(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    fetch_all(capsys)
    newer = storage(KLEIN) / "snapshots" / NEWER
    newer.mkdir()
    (newer / "model_index.json").write_bytes(hub.files["model_index.json"])
    (storage(KLEIN) / "refs/main").write_text(NEWER)
    assert find_local("klein-4b") == storage(KLEIN) / "snapshots" / COMMIT


def test_what_decides_where_models_go_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    assert models_dir_variable() == "HF_HOME"
    monkeypatch.setattr("flux2.folders.settings", lambda: Settings(models_folder="elsewhere"))
    assert models_dir_variable() == "the setting models_folder"
    monkeypatch.setenv("HF_HUB_CACHE", "/elsewhere")
    refusal = in_words(PermissionError(13, "Permission denied", "/elsewhere/x"), KLEIN)
    assert refusal.endswith("can't be written (Permission denied); HF_HUB_CACHE names another folder for it.")


def test_a_file_of_a_snapshot_counts_by_its_length(hub: Hub) -> None:
    file = HubFile("vae/config.json", 9, "0" * 40)
    manifest = Manifest(KLEIN, COMMIT, (file,))
    place = manifest.snapshot_path(file)
    place.parent.mkdir(parents=True)
    place.write_bytes(b"12345")
    assert (manifest.here, manifest.is_named(file)) == (0, False)
    place.write_bytes(b"123456789")
    assert (manifest.here, manifest.is_named(file)) == (9, True)
    assert hub.asked == []
