"""`flux2 models`: the list as downloads change it, a download stopped and gone on with, and deleting."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flux2.architecture.catalog import MODELS
from flux2.checkpoint.manifest import Manifest, storage
from flux2.cli import main
from flux2.paths import quantized_folder
from flux2.store.inventory import estimated_size, list_models
from tests.hub_server import COMMIT, KLEIN, WEIGHTS, Hub, etag, klein_hub, some_weights

PATIENCE = 60.0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with klein_hub(tmp_path, monkeypatch) as hub:
        yield hub


def row(capsys: pytest.CaptureFixture[str], name: str = "klein-4b") -> str:
    capsys.readouterr()
    assert main(["models"]) == 0
    return next(line for line in capsys.readouterr().out.splitlines() if line.startswith(name))


def test_the_list_follows_the_disk(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(rf"Apache-2.0 +~14.9 GiB +not here; on the Hub as {KLEIN}$", row(capsys))
    assert main(["models", "download", "klein-4b"]) == 0
    out, err = capsys.readouterr()
    folder = storage(KLEIN) / "snapshots" / COMMIT
    assert out == f"{folder}\n"
    assert re.fullmatch(r"1\.24 MiB in [\d.]+ s, checked\.\n", err)
    assert re.search(rf"^klein-4b \*.* 1.24 MiB +{folder}$", row(capsys)), "and is used where no model is named"
    (folder / WEIGHTS).unlink()
    (storage(KLEIN) / "blobs" / etag(hub.files[WEIGHTS])).unlink()
    assert re.search(
        r"klein-4b .* 1.24 MiB +82\d KiB of it here; `flux2 models download klein-4b` goes on", row(capsys)
    )
    assert main(["models", "download", "klein-4b", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["folder"] == str(folder)
    assert main(["models", "download", "klein-4b", "--quiet"]) == 0
    assert capsys.readouterr() == (f"{folder}\n", "")
    entries = {entry.name: entry.state for entry in list_models()}
    assert entries == {**dict.fromkeys(MODELS, "absent"), "pocket": "embedded", "klein-4b": "ready"}


def test_an_estimate_counts_both_large_networks() -> None:
    # The text encoders: Qwen3-4B, Qwen3-8B and Mistral Small 3.2 have 4.0, 8.2 and 24.0 · 10⁹ weights.
    for name, text_encoder in {"klein-4b": 4.0, "klein-9b": 8.2, "dev": 24.0}.items():
        weights = (MODELS[name].parameters + text_encoder) * 1e9
        assert estimated_size(name) == pytest.approx(2 * weights, rel=0.02)


def test_ctrl_c_keeps_what_has_come_and_says_so(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    hub.files[WEIGHTS] = some_weights(24 * 64 * 1024)
    hub.pace = 0.2
    screen, terminal = pty.openpty()
    command = [sys.executable, "-m", "flux2", "models", "download", "klein-4b"]
    program = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=terminal, env={**os.environ, "TERM": "xterm"})
    os.close(terminal)
    shown = read_until(screen, rb"Downloading klein-4b.*[1-9][\d.]* [KM]iB of 2.30 MiB")
    program.send_signal(signal.SIGINT)
    assert program.wait(PATIENCE) == 130
    assert program.stdout and program.stdout.read() == b""
    shown += read_until(screen, rb"Stopped at [\d.]+ [KM]iB of 2.30 MiB; what has come is kept, and the same command")
    manifest = Manifest.last(KLEIN)
    assert manifest and 0 < manifest.here < manifest.size
    assert "of it here; `flux2 models download" in row(capsys)
    hub.pace = 0.0
    assert main(["models", "download", "klein-4b"]) == 0
    assert hub.fetched(f"/storage/{WEIGHTS}")[-1].startswith("bytes=")


def read_until(descriptor: int, pattern: bytes) -> bytes:
    """What a terminal was sent, up to and with a match."""
    seen = b""
    timer = threading.Timer(PATIENCE, os.close, [descriptor])
    timer.start()
    while not re.search(pattern, seen, re.DOTALL):
        seen += os.read(descriptor, 4096)
    timer.cancel()
    return seen


def test_a_picture_brings_its_model(
    hub: Hub, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    small = ["--width", "64", "--height", "64", "--steps", "1", "--seed", "1", "--force"]
    assert main(["t2i", "a fox", "--model", "klein-4b", *small]) == 0
    out, err = capsys.readouterr()
    assert out == "a-fox-1.png\n" and (tmp_path / "a-fox-1.png").stat().st_size > 0
    assert f"Downloading {hub.repo} from the Hugging Face Hub." in err


@pytest.mark.usefixtures("hub")
def test_a_model_is_deleted_with_all_that_was_made_of_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["models", "download", "klein-4b"])
    other = storage("some/other-model") / "blobs" / "0123"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"not ours")
    prepared = quantized_folder(storage(KLEIN) / "snapshots" / COMMIT / "transformer", "int4")
    prepared.mkdir(parents=True)
    (prepared / "weights.safetensors").write_bytes(bytes(1024 * 1024))
    monkeypatch.setattr(sys, "stdin", terminal_saying("no\n"))
    assert main(["models", "delete", "klein-4b"]) == 0
    assert "Nothing was deleted." in capsys.readouterr().out and storage(KLEIN).exists()
    monkeypatch.setattr(sys, "stdin", terminal_saying("y\n"))
    assert main(["models", "delete", "klein-4b"]) == 0
    assert "klein-4b was deleted; 2.24 MiB are free again." in capsys.readouterr().out
    assert not storage(KLEIN).exists() and not prepared.exists() and Manifest.last(KLEIN) is None
    assert other.read_bytes() == b"not ours"


def test_a_part_without_a_name_is_deleted_too(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    part = storage(KLEIN) / "blobs" / f"{etag(hub.files[WEIGHTS])}.flux2.incomplete"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(500_000))
    assert main(["models", "delete", "klein-4b", "--yes"]) == 0
    assert "488 KiB are free again" in capsys.readouterr().out
    assert not storage(KLEIN).exists()


@pytest.mark.usefixtures("hub")
def test_what_can_not_be_downloaded_or_deleted_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (storage("some/other-model") / "snapshots" / "abc").mkdir(parents=True)
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))
    for arguments, sentence in (
        (["download", "pocket"], "pocket is in this package: there is nothing to download"),
        (["download", "klein-5b"], "There is no model or folder 'klein-5b'"),
        (["delete", "pocket"], "is part of this program and can't be deleted"),
        (["delete", "klein-9b"], "Nothing of klein-9b is in the Hub cache"),
        (["delete", str(tmp_path)], "is no model in the Hub cache"),
        (["delete", "some/other-model"], "is not a FLUX.2 model; `hf cache` manages the others"),
    ):
        assert main(["models", *arguments]) == 2, arguments
        assert sentence in capsys.readouterr().err
    main(["models", "download", "klein-4b"])
    assert main(["models", "delete", "klein-4b"]) == 2
    assert "nobody can answer here; add --yes" in capsys.readouterr().err


class terminal_saying(io.StringIO):  # noqa: N801 — reads as a function
    def isatty(self) -> bool:
        return True
