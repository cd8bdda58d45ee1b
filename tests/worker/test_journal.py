from __future__ import annotations

import json
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from flux2 import events as ev
from flux2.disk.atomic import write_atomically
from flux2.folders import pictures_dir
from flux2.request import GenerationRequest
from flux2.worker import history, journal
from flux2.worker.history import RunHistory
from flux2.worker.journal import Job, Journal, new_run_id
from flux2.worker.recovery import recover
from flux2.worker.tolerance import Tolerance
from flux2.worker.unfinished import UnfinishedRun

MEMORY = ev.Memory(active=1, peak=2, cache=3)


def job(run: str = "20260101-000000-aaaaaa", prompt: str = "a fox") -> Job:
    return Job(run=run, request=GenerationRequest(prompt=prompt))


def a_run(run: str) -> list[ev.Event]:
    return [
        ev.RunStarted(run=run, request={}, phases=("denoise",)),
        ev.PhaseStarted(run=run, phase="denoise", memory=MEMORY),
        ev.StepFinished(run=run, step=1, steps=4, sigma=1.0, seconds=0.1, memory=MEMORY),
        ev.Preview(run=run, step=1, steps=4, width=1, height=1, png=b"one"),
        ev.MemorySampled(run=run, phase="denoise", memory=MEMORY),
        ev.Preview(run=run, step=2, steps=4, width=1, height=1, png=b"two"),
    ]


def write(folder: Path, job: Job, events: list[ev.Event]) -> Path:
    log = Journal(folder)
    log.begin(job)
    for event in events:
        log.append(event)
    log.close()
    return folder / "runs" / job.run / "events.jsonl"


def test_a_finished_run_is_read_back_as_it_was(tmp_path: Path) -> None:
    events = [*a_run(job().run), ev.RunCancelled(run=job().run)]
    write(tmp_path, job(), events)
    found = recover(Journal(tmp_path), 10)
    assert found.notes == []
    kept = [event for event in events if event is not events[3]]  # of previews, the last
    assert list(found.runs[0].events) == kept
    assert json.loads((tmp_path / "runs" / job().run / "request.json").read_text())["prompt"] == "a fox"


def test_a_run_cut_off_is_ended_once(tmp_path: Path) -> None:
    path = write(tmp_path, job(), a_run(job().run))
    with path.open("ab") as file:
        file.write(b'{"event": "StepFin')  # the process died in the middle of a line
    first = recover(Journal(tmp_path), 10)
    failed = first.runs[0].events[-1]
    assert isinstance(failed, ev.RunFailed)
    assert failed.message.startswith("The run was interrupted in phase denoise, after step 1 of 4")
    assert first.notes == [
        f"1 damaged line was skipped in the journal of run {job().run}.",
        f"Run {job().run} was interrupted.",
    ]
    again = recover(Journal(tmp_path), 10)
    assert again.runs[0].events[-1] == failed
    assert f"Run {job().run} was interrupted." not in again.notes


@pytest.mark.parametrize(
    "line",
    [
        *(b"\0\0\0", b"null", b'{"event": "Nonsense"}', b'{"event": "StepFinished"}', b"[" * 5000, b"\xff", b"7"),
        b'{"event": "RunStarted", "run": "20260101-000000-aaaaaa", "request": [], "phases": []}',
    ],
)
def test_a_damaged_line_is_skipped_with_a_note(tmp_path: Path, line: bytes) -> None:
    path = write(tmp_path, job(), [*a_run(job().run), ev.RunCancelled(run=job().run)])
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:]]) + b"\n")
    found = recover(Journal(tmp_path), 10)
    assert [type(event).__name__ for event in found.runs[0].events][:2] == ["RunStarted", "PhaseStarted"]
    assert found.notes == [f"1 damaged line was skipped in the journal of run {job().run}."]


def test_a_folder_of_runs_that_can_not_be_read_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, job(), a_run(job().run))

    def fail(_: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "iterdir", fail)
    found = recover(Journal(tmp_path), 10)
    assert found.notes == ["The journal can't be read (Input/output error); earlier runs are not shown."]


def test_the_queue_is_restored_without_the_request_that_ran(tmp_path: Path) -> None:
    Journal(tmp_path).save_queue(job("r1"), [job("r2", "second"), job("r3", "third")])
    assert recover(Journal(tmp_path), 10).queue == [job("r2", "second"), job("r3", "third")]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"items": 3}', "null", "\0", "[" * 5000])
def test_a_damaged_queue_is_put_aside_with_a_note(tmp_path: Path, text: str) -> None:
    (tmp_path / "queue.json").write_text(text)
    found = recover(Journal(tmp_path), 10)
    assert found.queue == []
    (aside,) = tmp_path.glob("queue.damaged-*.json")
    assert aside.name in found.notes[0]
    assert aside.read_text() == text


def test_the_good_part_of_a_damaged_queue_is_used(tmp_path: Path) -> None:
    Journal(tmp_path).save_queue(None, [job("r1"), job("r2")])
    data = json.loads((tmp_path / "queue.json").read_text())
    data["items"].insert(0, None)
    (tmp_path / "queue.json").write_text(json.dumps(data))
    damaged = tmp_path / "queue" / "r1.json"
    damaged.write_text(damaged.read_text().replace('"width":null', '"width":"wide"'))
    found = recover(Journal(tmp_path), 10)
    assert [job.run for job in found.queue] == ["r2"]
    assert len(found.notes) == 2
    assert not damaged.exists()
    assert "wide" in next(damaged.parent.glob("r1.damaged-*.json")).read_text()  # put aside, not lost


def test_where_the_order_is_lost_the_requests_are_not(tmp_path: Path) -> None:
    jobs = [job("r2", "second"), job("r1", "first")]
    Journal(tmp_path).save_queue(None, jobs)
    (tmp_path / "queue.json").write_bytes(b"\0" * 40)
    for _ in range(2):  # the second time there is no queue.json
        assert recover(Journal(tmp_path), 10).queue == jobs[::-1]


def test_a_queue_of_an_earlier_version_is_read(tmp_path: Path) -> None:
    item = {"id": "r1", "state": "queued", "request": {"prompt": "a fox"}, "resumes": "r0"}
    (tmp_path / "queue.json").write_text(json.dumps({"items": [item], "held": True}))
    found = recover(Journal(tmp_path), 10)
    assert found.queue == [Job(run="r1", request=GenerationRequest(prompt="a fox"), resumes="r0")]
    assert found.held


def test_a_move_writes_no_request_anew(tmp_path: Path) -> None:
    log, jobs = Journal(tmp_path), [job("r1", "x" * 40_000), job("r2")]
    log.save_queue(None, jobs)
    before = {path: path.stat().st_ino for path in (tmp_path / "queue").iterdir()}
    log.save_queue(jobs[1], jobs[:1])
    assert {path: path.stat().st_ino for path in (tmp_path / "queue").iterdir()} == before
    assert (tmp_path / "queue.json").stat().st_size < 300
    log.save_queue(None, [])
    assert list((tmp_path / "queue").iterdir()) == []


def test_the_oldest_runs_go_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "KEEP_RUNS", 3)
    names = [f"2026010{day}-000000-aaaaaa" for day in range(1, 7)]
    for name in names:
        write(tmp_path, job(name), [ev.RunCancelled(run=name)])
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == names[3:]
    monkeypatch.setattr(journal, "KEEP_BYTES", 10)
    Journal(tmp_path).prune()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == names[-1:]  # the newest is kept, whatever its size


def test_what_is_offered_is_kept_however_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"2026010{day}-000000-aaaaaa" for day in range(1, 8)]
    for name in names:
        write(tmp_path, job(name), [ev.RunFailed(run=name, message="!")])
    log = Journal(tmp_path)
    for name in names[:3]:
        log.offer(UnfinishedRun(run=name, request=job().request, reason=""))
    log.keep_picture(names[0], b"png")
    monkeypatch.setattr(journal, "KEEP_RUNS", 2)
    log.prune()
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == [*names[:3], *names[-2:]]
    assert log.kept_picture(names[0]) == b"png"


def test_a_very_long_runs_journal_takes_no_more_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MAX_RUN_BYTES", 2000)
    run = job().run
    samples = [ev.MemorySampled(run=run, phase="denoise", memory=MEMORY) for _ in range(100)]
    path = write(tmp_path, job(), [*samples, ev.RunCancelled(run=run)])
    assert 2000 < path.stat().st_size < 2600
    assert isinstance(recover(Journal(tmp_path), 1).runs[0].events[-1], ev.RunCancelled)


def test_a_full_disk_does_not_keep_a_run_from_being_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, old, new = Journal(tmp_path), "20260101-000000-aaaaaa", "20260101-000000-bbbbbb"
    log.begin(job(old))
    log.state_file(old).write_bytes(b"latents")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(journal, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        log.begin(Job(run=new, request=job().request, resumes=old))
    assert log.state_file(new).read_bytes() == b"latents"


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "queue.json"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new", durable=True)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_run_ids_sort_by_time_and_are_file_names() -> None:
    one = new_run_id()
    assert one != new_run_id()
    assert new_run_id(one) > one
    assert new_run_id("20991231-235959-00000a") == "20991231-235959-00000b"  # the clock was set back
    assert new_run_id("someone's folder")[:8] == one[:8]
    assert one[:8] == time.strftime("%Y%m%d")
    assert one.replace("-", "").isalnum()


def test_samples_are_thinned_evenly_and_keep_their_peak() -> None:
    run = RunHistory("r")
    run.add(ev.RunStarted(run="r", request={}, phases=()))
    total = 5 * history.MAX_SAMPLES
    for number in range(total):
        memory = ev.Memory(active=10**6 if number == 1234 else number, peak=0, cache=0)
        run.add(ev.MemorySampled(run="r", time=number / 4, phase="", memory=memory))
    samples = [event for event in run.events if isinstance(event, ev.MemorySampled)]
    assert history.MAX_SAMPLES / 2 <= len(samples) < 2 * history.MAX_SAMPLES
    assert max(sample.memory.active for sample in samples) == 10**6
    assert [sample.time for sample in samples] == sorted(sample.time for sample in samples)
    assert samples[-1].time == (total - 1) / 4
    gaps = [later.time - sample.time for sample, later in pairwise(samples)]
    assert max(gaps) < 8 * total / 4 / len(samples)


def test_a_journal_that_fails_now_and_then_is_told_of_once_a_run() -> None:
    said: list[str] = []
    tolerance = Tolerance(said.append)

    def full() -> None:
        raise OSError(28, "No space left on device")

    tolerance(full)  # while the first run waits
    for _ in range(3):
        tolerance(full)
        tolerance(lambda: None)
    assert said == ["The journal can't be written (No space left on device); the run goes on without it."]
    tolerance.another_run()  # the one that waited: it was said for it
    tolerance(full)
    assert len(said) == 1
    tolerance.another_run()
    tolerance(full)
    tolerance(full)
    assert len(said) == 2


# --- what is offered --------------------------------------------------------------------------------------------------


def test_a_run_of_which_a_full_disk_took_nothing_is_offered(tmp_path: Path) -> None:
    Journal(tmp_path).save_queue(job(), [])
    (offer,) = recover(Journal(tmp_path), 10).unfinished
    assert (offer.run, offer.request) == (job().run, job().request)
    (offer,) = recover(Journal(tmp_path), 10).unfinished


def test_a_request_that_took_the_place_of_a_resumed_one_leaves_that_offered(tmp_path: Path) -> None:
    """The worker was killed after it had written the new request, and before the queue."""
    log, left = Journal(tmp_path), job()
    log.offer(UnfinishedRun(run=left.run, request=left.request, reason="!", step=2))
    waiting = Job(run="20260101-000000-bbbbbb", request=left.request, resumes=left.run)
    log.save_queue(None, [waiting])
    assert recover(Journal(tmp_path), 10).queue == [waiting]
    write_atomically(log.queued_file(waiting.run), journal.dump(GenerationRequest(prompt="a hare").to_dict()))
    found = recover(Journal(tmp_path), 10)
    assert [(item.request.prompt, item.resumes) for item in found.queue] == [("a hare", "")]
    assert [offer.run for offer in found.unfinished] == [left.run]


DAMAGED = [b"", b"{", b"null", b'{"id": "x"}', b"[" * 9999, b'{"id": "../..", "step": 1}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_offer_is_made_anew_from_the_journal(tmp_path: Path, content: bytes) -> None:
    run = job().run
    write(tmp_path, job(), [*a_run(run), ev.RunFailed(run=run, message="No room.")])
    log = Journal(tmp_path)
    log.state_file(run).write_bytes(save({"latents": np.zeros(1, np.float32)}, {"step": "1"}))
    log.offer_file(run).write_bytes(content)
    found = recover(Journal(tmp_path), 10)
    (offer,) = found.unfinished
    assert (offer.run, offer.reason, offer.step, offer.picture) == (run, "No room.", 1, "")
    assert any("it is now unfinished.damaged-" in note for note in found.notes)
    assert [path.read_bytes() for path in log.run_folder(run).glob("unfinished.damaged-*.json")] == [content]
    assert recover(Journal(tmp_path), 10).unfinished == [offer]  # it is on the disk again


@pytest.mark.parametrize("ending", [ev.RunCancelled(run=job().run), None])
def test_a_damaged_offer_of_a_run_that_did_not_fail(tmp_path: Path, ending: ev.Event | None) -> None:
    write(tmp_path, job(), [*a_run(job().run), *([ending] if ending else [])])
    Journal(tmp_path).offer_file(job().run).write_bytes(b"{")
    offered = [offer.run for offer in recover(Journal(tmp_path), 10).unfinished]
    assert offered == ([] if ending else [job().run])


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize("output", ["/pictures/fox.png", None])
def test_a_picture_that_was_kept_is_offered_though_the_offer_is_not_there(
    tmp_path: Path, output: str | None, damaged: bool
) -> None:
    run, asked = job().run, GenerationRequest(prompt="a fox", output=output)
    ending = [ev.RunFailed(run=run, message="!")] if damaged else []  # else killed before the offer was written
    write(tmp_path, Job(run=run, request=asked), [*a_run(run), *ending])
    log = Journal(tmp_path)
    log.keep_picture(run, b"png")
    if damaged:
        log.offer_file(run).write_bytes(b"{")
    (offer,) = recover(Journal(tmp_path), 10).unfinished
    assert offer.picture == (output or f"{pictures_dir()}/")
    assert log.kept_picture(run) == b"png"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_preview_with_a_flipped_bit_is_not_shown(tmp_path: Path, place: int) -> None:
    run = job().run
    write(tmp_path, job(), [*a_run(run), ev.RunCancelled(run=run)])

    def shown() -> list[bytes]:
        events = recover(Journal(tmp_path), 10).runs[0].events
        return [event.png for event in events if isinstance(event, ev.Preview)]

    assert shown() == [b"two"]
    png = bytearray(b"two")
    png[place] ^= 1
    Journal(tmp_path).preview_file(run).write_bytes(png)
    assert shown() == [b""]
