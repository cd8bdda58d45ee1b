"""`flux2 worker`: what is told of the worker process. Real workers are in tests/worker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flux2 import events as ev
from flux2.cli import main
from flux2.errors import WorkerError
from flux2.worker import control
from flux2.worker.protocol import RunRecord, Snapshot, WorkerInfo

MEMORY = ev.Memory(active=1, peak=1, cache=0)
RUN = (
    ev.RunStarted(run="a", request={"steps": 4}, phases=ev.PHASES),
    ev.PhaseStarted(run="a", phase="denoise", memory=MEMORY),
    ev.StepFinished(run="a", step=2, steps=4, sigma=0.5, seconds=1.0, memory=MEMORY),
)
SNAPSHOT = Snapshot(
    worker=WorkerInfo(
        pid=4711,
        version="0.1.0",
        started=1000.0,
        log="/somewhere/worker.log",
        ready=True,
        device="Apple M2 Ultra",
        memory_limit=72 * 2**30,
        model="klein-4b int4",
    ),
    queue=(
        {"id": "a", "state": "running", "request": {"prompt": "a fox", "model": "klein-4b", "quantization": "int4"}},
        {
            "id": "b",
            "state": "queued",
            "request": {"prompt": "a\n\x1b[2Jcat " * 30, "model": "dev", "quantization": "bf16"},
        },
    ),
    runs=(RunRecord(run="a", events=RUN),),
    log=(
        ev.DownloadProgress(model="dev", state="downloading", done=2**30, total=4 * 2**30, bytes_per_second=2**20),
        ev.DownloadProgress(model="klein-9b", state="paused", done=2**30, total=4 * 2**30),
    ),
)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path))


@pytest.mark.parametrize("action", [["status"], ["stop"], ["stop", "--when-idle"]])
def test_without_a_worker(action: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", *action]) == 0
    assert capsys.readouterr().out == "No worker is running; flux2-tui starts one.\n"


def test_without_a_worker_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) is None


def test_status(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(control, "status", lambda: SNAPSHOT)
    monkeypatch.setattr("flux2.commands.worker.time.time", lambda: 1090.4)
    assert main(["worker", "status"]) == 0
    first, device, loaded, running, queued, fetching, log = capsys.readouterr().out.splitlines()
    assert first == "worker 4711, version 0.1.0, up 1:30"
    assert device == "  device   Apple M2 Ultra, limit 72.0 GiB"
    assert loaded == "  loaded   klein-4b int4"
    assert running == "  running  a fox (klein-4b, int4): denoise, step 2 of 4"
    assert queued.startswith("  queued   a \\x1b[2Jcat a ") and queued.endswith("… (dev, bf16)")
    assert fetching == "  fetching dev: 1.00 GiB of 4.00 GiB · 1.00 MiB/s · 51:12 left"
    assert log == "  log      /somewhere/worker.log"
    assert main(["worker", "status", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["pid"], facts["model"], len(facts["queue"])) == (4711, "klein-4b int4", 2)


def test_a_worker_that_does_not_answer_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def silent() -> Snapshot:
        raise WorkerError("The worker does not answer.")

    monkeypatch.setattr(control, "status", silent)
    assert main(["worker", "status"]) == 1
    assert capsys.readouterr().err == "flux2: The worker does not answer.\n"


def test_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["worker", "log"]) == 0
    assert capsys.readouterr().out == "No worker has written anything yet.\n"
    path = control.log_path()
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"line {number}\n" for number in range(30)))
    assert main(["worker", "log", "-n", "2"]) == 0
    assert capsys.readouterr().out == "line 28\nline 29\n"
