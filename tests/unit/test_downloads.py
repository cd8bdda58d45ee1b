"""Downloads from a small Hub on this machine that does to them whatever a real one and the line to it may do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from huggingface_hub import constants
from huggingface_hub.utils import WeakFileLock

from flux2.checkpoint.files import NEEDED_FILES, VAE_FILES
from flux2.checkpoint.manifest import Manifest, locks, storage
from flux2.errors import CheckpointError
from flux2.events import DownloadProgress
from flux2.settings import Settings
from flux2.store import fetch, process
from flux2.store.download import DownloadStopped, download
from flux2.store.local import find_local, is_ready
from flux2.store.refusals import in_words
from flux2.store.resolved import resolve_model
from flux2.store.source import find_checkpoint, repo_to_download
from tests.hub_server import CHECKPOINT, COMMIT, KLEIN, WEIGHTS, Fault, Hub, etag, klein_hub, some_weights
from tests.unit.single_files import bfl_transformer, save, tensors_of

GATED = "black-forest-labs/FLUX.2-klein-9B"
TOKEN = "hf_a_secret_that_nobody_sees"
PATIENCE = 60.0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with klein_hub(tmp_path, monkeypatch) as hub:
        yield hub


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited for, in no time."""
    waited: list[float] = []
    monkeypatch.setattr(fetch, "sleep", waited.append)
    return waited


def fetch_all(capsys: pytest.CaptureFixture[str], repo: str = KLEIN) -> dict[str, object]:
    """Download in this process; the last that it said."""
    capsys.readouterr()
    process.run(repo, NEEDED_FILES)
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert not any(TOKEN in str(line) for line in lines)
    return lines[-1]


def needed_files(hub: Hub) -> dict[str, bytes]:
    return {path: data for path, data in hub.files.items() if "/" in path or path == "model_index.json"}


def check_complete(hub: Hub) -> None:
    """Everything needed is here under its name, bit for bit, and nothing else."""
    folder = find_local("klein-4b")
    assert folder and is_ready(folder)
    wanted = needed_files(hub)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == wanted.keys()
    for path, data in wanted.items():
        assert (folder / path).read_bytes() == data, path
    assert not list(storage(KLEIN).rglob("*.incomplete"))


# --- what is fetched --------------------------------------------------------------------------------------------------


def test_only_needed_files_come_and_the_token_goes_to_the_hub_alone(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.token = TOKEN
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert fetch_all(capsys) == {"folder": str(storage(KLEIN) / "snapshots" / COMMIT)}
    check_complete(hub)
    assert not hub.fetched("flux-2-klein-4b.safetensors") and not hub.fetched("README.md")
    assert hub.leaked == []
    assert repo_to_download("klein-4b") == ""
    hub.gone = True
    assert find_checkpoint("klein-4b") == storage(KLEIN) / "snapshots" / COMMIT, "what is here needs no Hub"


def test_files_that_another_program_downloaded_are_used(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    from huggingface_hub import snapshot_download

    snapshot_download(KLEIN, allow_patterns=["text_encoder/*"])
    asked = len(hub.fetched(WEIGHTS))
    assert "folder" in fetch_all(capsys)
    assert len(hub.fetched(WEIGHTS)) == asked
    check_complete(hub)


def test_a_single_file_brings_the_rest_of_its_model_and_no_transformer(hub: Hub, tmp_path: Path) -> None:
    file = save(tmp_path / "mine.safetensors", bfl_transformer(tensors_of(CHECKPOINT)))
    said: list[str] = []
    resolve_model(str(file), base="klein-4b", say=said.append)
    assert said == [f"Downloading the other parts of {KLEIN} from the Hugging Face Hub."]
    assert hub.fetched(WEIGHTS) and not hub.fetched("transformer/diffusion_pytorch_model.safetensors")
    assert repo_to_download("klein-4b") == KLEIN and Manifest.last(KLEIN) is None
    hub.gone = True
    resolve_model(str(file), base="klein-4b", say=said.append)
    resolve_model(str(file), base="klein-base-4b", say=said.append)  # whose other parts are the same
    assert len(said) == 1


def test_an_autoencoder_alone_does_not_pass_for_the_model(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert process.run(KLEIN, VAE_FILES) == 0
    assert Manifest.last(KLEIN) is None and not hub.fetched(WEIGHTS)
    assert repo_to_download("klein-4b") == KLEIN
    assert "folder" in fetch_all(capsys)
    check_complete(hub)


def test_models_go_where_the_settings_say(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "another disk"
    monkeypatch.setattr("flux2.folders.settings", lambda: Settings(models_folder=str(folder)))
    assert "folder" in fetch_all(capsys)
    assert storage(KLEIN).is_relative_to(folder)
    check_complete(hub)


def test_a_pipeline_that_is_unknown_is_refused_before_its_weights_come(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.files["model_index.json"] = b'{"_class_name": "StableDiffusionPipeline"}'
    assert "says 'StableDiffusionPipeline', an architecture unknown" in str(fetch_all(capsys)["error"])
    assert not hub.fetched(WEIGHTS)


# --- what goes wrong on the way ---------------------------------------------------------------------------------------


def test_a_cut_line_is_gone_on_from(hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float]) -> None:
    hub.faults[WEIGHTS] = [Fault("cut", after=100_000, times=3)]
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    assert hub.fetched(f"/storage/{WEIGHTS}") == ["", "bytes=100000-", "bytes=200000-", "bytes=300000-"]
    assert hub.sent[WEIGHTS] == len(hub.files[WEIGHTS]), "no byte came twice"
    assert pauses == [1.0, 1.0, 1.0], "short ones, for each try brought something"


@pytest.mark.parametrize("status", [500, 503, 504])
def test_a_fault_of_the_hub_is_waited_for(
    hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float], status: int
) -> None:
    hub.info_faults = [Fault("status", status=status)]
    hub.faults[WEIGHTS] = [Fault("status", status=status, times=3)]
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    assert sorted(pauses) == [1.0, 1.0, 2.0, 4.0]


def test_a_fault_that_lasts_is_given_up(hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float]) -> None:
    hub.faults[WEIGHTS] = [Fault("status", status=502, times=99)]
    assert fetch_all(capsys)["error"] == (
        f"The Hub can't deliver {KLEIN} now (HTTP 502); try again later. What has come is kept."
    )
    assert pauses == list(fetch.PAUSES)


def test_too_many_requests_wait_as_long_as_the_hub_says(
    hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float]
) -> None:
    limits = {"RateLimit": '"resolvers";r=0;t=55'}
    hub.faults[WEIGHTS] = [
        Fault("status", status=429, headers={"Retry-After": "17"}),
        Fault("status", status=429, headers=limits),
    ]
    assert "folder" in fetch_all(capsys)
    assert pauses == [17.0, 55.0]
    check_complete(hub)


def test_nobody_waits_for_an_hour(hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float]) -> None:
    hub.info_faults = [Fault("status", status=429, headers={"Retry-After": "3600"})]
    assert fetch_all(capsys)["error"] == (
        "The Hub wants no more requests for 1:00:00; try again then. What has come is kept."
    )
    assert pauses == []


def test_wrong_bytes_are_noticed_and_fetched_again(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults[WEIGHTS] = [Fault("wrong")]
    hub.faults["vae/config.json"] = [Fault("wrong")]
    assert "folder" in fetch_all(capsys)
    check_complete(hub)


def test_bytes_that_stay_wrong_are_not_taken(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.faults[WEIGHTS] = [Fault("wrong", times=2)]
    assert f"{WEIGHTS} of {KLEIN} came damaged twice: its checksum" in str(fetch_all(capsys)["error"])
    assert find_local("klein-4b") is None
    assert not (storage(KLEIN) / "blobs" / etag(hub.files[WEIGHTS])).exists()
    assert "folder" in fetch_all(capsys)
    check_complete(hub)


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("part", ["first half", "all", "too much", "damaged", "no ranges"])
def test_any_part_that_lies_here_leads_to_the_right_file(
    hub: Hub, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    data = hub.files[WEIGHTS]
    half = data[: len(data) // 2]
    if part == "no ranges":
        hub.faults[WEIGHTS] = [Fault("no range")]
    blobs = storage(KLEIN) / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{etag(data)}.flux2.incomplete").write_bytes(
        {"all": data, "too much": data + b"!", "damaged": half[::-1]}.get(part, half)
    )
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    sent = {"first half": len(data) - len(half), "all": 0, "damaged": 2 * len(data) - len(half)}
    assert hub.sent[WEIGHTS] == sent.get(part, len(data))


def test_a_line_that_falls_silent_is_left(
    hub: Hub, capsys: pytest.CaptureFixture[str], pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.5)
    hub.faults[WEIGHTS] = [Fault("stall", after=100_000)]
    assert "folder" in fetch_all(capsys)
    check_complete(hub)
    assert hub.fetched(f"/storage/{WEIGHTS}") == ["", "bytes=100000-"] and pauses == [1.0]


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("digest", ["../../../outside", "", "0" * 63])
def test_a_digest_that_is_none_never_becomes_a_path(hub: Hub, capsys: pytest.CaptureFixture[str], digest: str) -> None:
    hub.digests["vae/config.json"] = digest
    assert fetch_all(capsys)["error"] == (
        f"The Hub gives no checksum for vae/config.json of {KLEIN}; it is not downloaded."
    )
    assert sum(hub.sent.values()) == 0


def test_a_repository_without_an_index_is_refused(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    del hub.files["model_index.json"]
    assert "has no model_index.json: it is no checkpoint in the diffusers layout" in str(fetch_all(capsys)["error"])
    assert sum(hub.sent.values()) == 0


def test_what_the_hub_refuses_is_said_with_what_to_do(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.repo, hub.token = GATED, TOKEN
    page = f"https://huggingface.co/{GATED}"
    assert fetch_all(capsys, GATED)["error"] == (
        f"{GATED} is gated: accept its licence (FLUX Non-Commercial 2.1) at {page}, then log in with `hf auth login`."
    )
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}_of_yesterday")
    assert "refuses this machine's token" in str(fetch_all(capsys, GATED)["error"])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.allowed = False
    refusal = str(fetch_all(capsys, GATED)["error"])
    assert "the account of this machine's token may not read it: accept its licence" in refusal and page in refusal
    hub.gone = True
    assert "The Hub has no repository some/body" in str(fetch_all(capsys, "some/body")["error"])
    assert sum(hub.sent.values()) < 5_000, "nothing large came"


def test_a_file_that_vanishes_and_a_disk_that_fills_are_told_apart(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults[WEIGHTS] = [Fault("status", status=404, headers={"X-Error-Code": "EntryNotFound"})]
    assert "was changed on the Hub while it was downloaded" in str(fetch_all(capsys)["error"])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fetch.os, "fsync", full)
    assert fetch_all(capsys)["error"] == "The disk is full. What has come is kept. Make room and try again to go on."
    assert "can't be written (Read-only file system)" in in_words(OSError(30, "Read-only file system", "/x"), KLEIN)


def test_room_is_looked_for_first_and_what_is_here_counts(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = sum(map(len, needed_files(hub).values()))
    free = process.ROOM_TO_LEAVE + needed - 100_000
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(process.shutil, "disk_usage", lambda _: usage)
    refusal = str(fetch_all(capsys)["error"])
    assert "needs 1.24 MiB more and 256 MiB to spare" in refusal and "make 97.7 KiB of room" in refusal
    assert sum(hub.sent.values()) == 0
    data = hub.files[WEIGHTS]
    part = storage(KLEIN) / "blobs" / f"{etag(data)}.flux2.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(data[:100_000])
    assert "folder" in fetch_all(capsys)


@pytest.mark.usefixtures("hub")
def test_without_a_network_what_lacks_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "The Hub can't be reached (ConnectError); check the network" in str(fetch_all(capsys)["error"])
    assert pauses == [1.0, 2.0], "one who is offline is told soon"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE forbids to fetch it" in str(fetch_all(capsys)["error"])


# --- processes --------------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_hub(hub: Hub) -> Hub:
    """A Hub whose text encoder takes five seconds, until `pace` is taken back."""
    hub.files[WEIGHTS] = some_weights(24 * 64 * 1024)
    hub.pace = 0.2
    return hub


class Watched:
    """A download on a thread of its own, as it is seen from outside."""

    def __init__(self) -> None:
        self.heard: list[DownloadProgress] = []
        self.stop = False
        self.end: Path | Exception | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.end = download(KLEIN, self.heard.append, lambda: self.stop, model="klein-4b")
        except Exception as error:
            self.end = error

    def join(self) -> Path | Exception | None:
        self._thread.join(PATIENCE)
        return self.end


def part_of(hub: Hub) -> Path:
    return storage(KLEIN) / "blobs" / f"{etag(hub.files[WEIGHTS])}.flux2.incomplete"


def wait_for_part(hub: Hub, size: int = 100_000) -> None:
    wait_until(lambda: part_of(hub).exists() and part_of(hub).stat().st_size > size)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def children(parent: int | None = None) -> list[psutil.Process]:
    return [child for child in psutil.Process(parent).children() if "flux2.store.process" in child.cmdline()]


def test_a_download_killed_at_any_byte_is_gone_on_from(slow_hub: Hub) -> None:
    hub = slow_hub
    first = Watched()
    wait_for_part(hub)
    os.kill(children()[0].pid, signal.SIGKILL)
    assert "ended from outside (SIGKILL); try again to go on where it stopped" in str(first.join())
    kept = part_of(hub).stat().st_size
    assert 100_000 < kept < len(hub.files[WEIGHTS])
    manifest = Manifest.last(KLEIN)
    assert manifest and manifest.here >= kept
    assert repo_to_download("klein-4b") == KLEIN
    hub.pace = 0.0
    second = Watched()
    assert second.join() == storage(KLEIN) / "snapshots" / COMMIT
    assert f"bytes={kept}-" in hub.fetched(f"/storage/{WEIGHTS}")
    check_complete(hub)
    assert second.heard[-1].done == second.heard[-1].total == manifest.size == manifest.here
    assert all(progress.model == "klein-4b" for progress in second.heard)


def test_a_stopped_download_leaves_its_part_and_no_process(slow_hub: Hub) -> None:
    hub = slow_hub
    watched = Watched()
    wait_for_part(hub)
    watched.stop = True
    assert isinstance(watched.join(), DownloadStopped)
    assert children() == []
    kept = part_of(hub).stat().st_size
    assert 100_000 < kept < len(hub.files[WEIGHTS])
    hub.pace = 0.0
    watched = Watched()
    assert isinstance(watched.join(), Path)
    assert f"bytes={kept}-" in hub.fetched(f"/storage/{WEIGHTS}")
    check_complete(hub)


def test_two_processes_fetch_everything_once(slow_hub: Hub) -> None:
    hub = slow_hub
    first = Watched()
    wait_for_part(hub, 0)
    second = Watched()
    wait_until(lambda: any(progress.state == "waiting" for progress in second.heard))
    hub.pace = 0.0
    assert first.join() == second.join() == storage(KLEIN) / "snapshots" / COMMIT
    check_complete(hub)
    assert hub.sent[WEIGHTS] == len(hub.files[WEIGHTS])
    waited = [progress for progress in second.heard if progress.state == "waiting"]
    assert waited and waited[-1].message == "Another program is downloading it."


def test_a_file_that_another_program_downloads_is_waited_for(hub: Hub) -> None:
    lock = locks(KLEIN) / f"{etag(hub.files[WEIGHTS])}.lock"
    lock.parent.mkdir(parents=True)
    with WeakFileLock(lock):
        watched = Watched()
        wait_until(lambda: any(told.message == fetch.ANOTHER for told in watched.heard))
        assert watched.heard[-1].state == "waiting" and hub.sent[WEIGHTS] == 0
    assert isinstance(watched.join(), Path)
    check_complete(hub)


def test_a_download_ends_with_the_program_that_wanted_it(slow_hub: Hub) -> None:
    slow_hub.pace = 0.5
    program = subprocess.Popen(
        [sys.executable, "-c", f"from flux2.store.download import download; download({KLEIN!r})"]
    )
    wait_for_part(slow_hub, 0)
    (child,) = children(program.pid)
    program.kill()
    program.wait()
    child.wait(PATIENCE)


def test_a_refusal_comes_as_one_sentence(hub: Hub) -> None:
    hub.gone = True
    with pytest.raises(CheckpointError, match=r"^The Hub has no repository some/body, or it is private: .*\.$"):
        find_checkpoint("some/body")
