"""The comparison with other engines: the same work for everybody, in turn, and the arithmetic it is measured by."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2.architecture.published import ARCHITECTURES
from flux2.backend.mlx import mx
from flux2.bench import disk
from flux2.bench.disk import CAN_DROP
from flux2.bench.recording import Recording, UnavailableError
from flux2.bench.research import bounds
from flux2.bench.research.peers import __main__ as peers
from flux2.bench.research.peers.arithmetic import decode_operations, step_operations
from flux2.bench.research.peers.contender import Contender, Work
from flux2.bench.research.peers.race import LEAST_ROUNDS, WARM_UPS, race, relative_error, timed
from flux2.bench.research.peers.random_weights import random_weight
from flux2.checkpoint.safetensors_file import read_header, read_tensor
from flux2.inputs.checks import QUANTIZATIONS
from tests.unit.checkpoints import sparse_safetensors

SMALL = ["--model", "klein-4b", "--divisor", "32", "--width", "64", "--height", "64", "--tokens", "16"]


class NoMeter:
    def reset(self) -> None: ...

    def held(self) -> int:
        return 100

    def peak(self) -> int:
        return 130


def contender(name: str, value: float, order: list[str]) -> Contender:
    def run() -> float:
        order.append(name)
        return value

    return Contender(name, "1.0", run, lambda result: np.full(4, result, np.float32), NoMeter())


def test_contenders_take_turns_after_their_warm_up() -> None:
    order: list[str] = []
    rows = race([contender("a", 2.0, order), contender("b", 2.1, order)], 3, Recording({}))
    alone = WARM_UPS + 1  # and once for the peak
    assert order == ["a"] * alone + ["b"] * alone + ["a", "b"] * 3
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [len(row["seconds"]) for row in rows] == [3, 3]
    assert all(row["least"] <= row["median"] <= row["most"] for row in rows)
    assert rows[0]["peak_above_weights"] == 30
    assert rows[1]["relative_error"] == pytest.approx(0.05)


def test_no_round_is_begun_when_the_time_is_up_but_the_first_three() -> None:
    order: list[str] = []
    (row,) = race([contender("a", 1.0, order)], 10, Recording({}, seconds=0))
    assert len(row["seconds"]) == LEAST_ROUNDS


def test_who_fails_is_timed_no_more_and_the_others_are() -> None:
    order: list[str] = []

    def break_down() -> float:
        if order.count("a") > WARM_UPS + 2:  # in the second round
            raise RuntimeError("out of memory")
        return 1.0

    broken = replace(contender("broken", 1.0, order), run=break_down)
    never = replace(contender("never", 1.0, order), run=lambda: 1 / 0)
    recording = Recording({})
    rows = race([never, contender("a", 1.0, order), broken], 4, recording)
    assert [(row["name"], len(row["seconds"])) for row in timed(rows)] == [("a", 4), ("broken", 1)]
    assert [each["error"] for each in recording.report["failed"]] == [
        "ZeroDivisionError: division by zero",
        "RuntimeError: out of memory",
    ]


def test_what_was_timed_is_in_the_file_when_the_program_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rounds = tmp_path / "peers.json", iter((True, True))

    def stop_in_the_third(_each: Contender, row: dict[str, Any]) -> bool:
        if not next(rounds, False):
            raise KeyboardInterrupt
        row["seconds"].append(1.0)
        return True

    monkeypatch.setattr("flux2.bench.research.peers.race._add", stop_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        peers.main([*SMALL, "--part", "step", "--only", "ours", "--json", str(out)])
    report = json.loads(out.read_text())
    assert [row["seconds"] for row in report["step"]["contenders"]] == [[1.0, 1.0]]
    assert report["load_seconds"]["ours bf16"] > 0


def test_who_has_no_room_is_left_out(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("flux2.bench.research.peers.entrants._room", lambda: 1 << 20)
    assert peers.main([*SMALL, "--part", "step", "--only", "ours,ours-int4", "--rounds", "1"]) == 0
    printed = capsys.readouterr()
    assert "ours is left out: it needs" in printed.err
    assert "ours int4" in printed.out


def test_the_error_is_in_units_of_the_reference() -> None:
    reference = np.array([3.0, 4.0], np.float32)
    assert relative_error(reference + np.array([0.0, 0.5], np.float32), reference) == pytest.approx(0.1)


@pytest.mark.parametrize(("model", "teraflop"), [("klein-4b", 35), ("klein-9b", 76), ("dev", 282)])
def test_counts_the_operations_of_a_step(model: str, teraflop: int) -> None:
    """4,608 tokens; what `torch.utils.flop_counter` counts for diffusers' networks, rounded."""
    work = Work(model=model, architecture=ARCHITECTURES[model], divisor=1, height=1024, width=1024, dtype="bfloat16")
    assert work.tokens == 4608
    assert step_operations(work) / 1e12 == pytest.approx(teraflop, rel=0.02)


def test_a_decode_grows_with_the_pixels() -> None:
    works = [
        Work(model="dev", architecture=ARCHITECTURES["dev"], divisor=1, height=side, width=1024, dtype="bfloat16")
        for side in (512, 1024)
    ]
    small, large = map(decode_operations, works)
    assert 2 < large / small < 2.2  # the attention's share is quadratic


def test_weights_depend_on_their_name_alone_and_keep_the_scale() -> None:
    weight = random_weight("a.weight", (256, 1024))
    assert weight.dtype == mx.bfloat16
    assert mx.array_equal(weight, random_weight("a.weight", (256, 1024))).item()
    assert not mx.array_equal(weight, random_weight("b.weight", (256, 1024))).item()
    assert float(mx.std(weight.astype(mx.float32)).item()) == pytest.approx(1 / 32, rel=0.02)
    assert float(mx.mean(random_weight("norm.weight", (4096,)).astype(mx.float32)).item()) == pytest.approx(1, abs=0.02)


def test_times_every_level_and_writes_what_it_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "peers.json"
    options = [*SMALL, "--rounds", "2", "--only", "ours,ours-int4", "--json", str(out)]
    assert peers.main(options) == 0
    report = json.loads(out.read_text())
    names = [row["name"] for row in report["step"]["contenders"]]
    assert names == ["ours bf16", "ours int4"]
    assert 0.01 < report["step"]["contenders"][1]["relative_error"] < 1
    assert all(row["finite"] and row["peak_above_weights"] > 0 for row in report["step"]["contenders"])
    assert [row["name"] for row in report["decode"]["contenders"]] == ["ours"]
    assert "| ours int4 (" in capsys.readouterr().out


def test_who_is_not_installed_is_left_out_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found: Callable[..., object] = importlib.util.find_spec
    missing = ("torch", "diffusers", "mflux")
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name in missing else found(name, *rest)
    )
    options = [*SMALL, "--rounds", "1", "--part", "step", "--only", "ours,diffusers,mflux", "--check"]
    assert peers.main(options) == 1  # nothing was checked
    told = capsys.readouterr().err
    assert "diffusers is left out: torch is not installed." in told
    assert "mflux is left out: mflux is not installed." in told
    assert "nothing was checked" in told


def test_measures_phases_against_their_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bounds, "_SIDE", {"cpu": 64, "gpu": 64})
    out = tmp_path / "bounds.json"
    options = ["--divisor", "32", "--side", "64", "--tokens", "16", "--json", str(out)]
    assert bounds.main([*options, "--transformer-quant", "bf16,int4"]) == 0
    report = json.loads(out.read_text())
    assert [row["phase"] for row in report["bounds"]] == ["encode", "load bf16", "load int4", "decode 64×64"]
    assert all(row["seconds"] > 0 and row["bound"] > 0 for row in report["bounds"])
    assert all(row["bytes_per_second"] > 1e6 for row in report["bounds"])
    assert all(len(found) == bounds.ROUNDS for row in report["bounds"] for found in row["rounds"].values())


@pytest.mark.skipif(not CAN_DROP, reason="files can't be dropped from this system's cache")
def test_measures_what_reads_off_the_disk_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bounds, "_SIDE", {"cpu": 64, "gpu": 64})
    monkeypatch.setattr(disk, "_is_cached", lambda *_: False)  # whatever holds temporary files here
    out = tmp_path / "bounds.json"
    options = ["--divisor", "32", "--side", "64", "--tokens", "16", "--json", str(out), "--disk"]
    assert bounds.main([*options, "--part", "load,decode", "--transformer-quant", "int4"]) == 0
    phases = [row["phase"] for row in json.loads(out.read_text())["bounds"]]
    assert phases == ["load int4", "load int4 off the disk", "decode 64×64"]


def test_fills_a_file_with_finite_numbers_and_leaves_its_header(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    sparse_safetensors(path, {"a": (3, 5), "b": (7,)})
    header = read_header(path)
    disk.fill(path)
    assert read_header(path) == header
    numbers = [abs(read_tensor(info).astype(mx.float32)) for info in header.values()]
    assert all(bool(((found > 0.007) & (found < 0.04)).all()) for found in numbers)


def test_refuses_a_file_that_stays_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "_is_cached", lambda *_: True)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(b"0" * 100)
    with pytest.raises(UnavailableError, match="keeps its files in memory"):
        disk.drop_from_cache([path])


def test_a_phase_that_fails_does_not_end_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bounds, "_SIDE", {"cpu": 64, "gpu": 64})
    monkeypatch.setattr(bounds, "_load", lambda *_: 1 / 0)
    out = tmp_path / "bounds.json"
    assert bounds.main(["--divisor", "32", "--side", "64", "--tokens", "16", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert [row["phase"] for row in report["bounds"]] == ["encode", "decode 64×64"]
    assert [each["what"] for each in report["failed"]] == [f"load {level}" for level in QUANTIZATIONS]
