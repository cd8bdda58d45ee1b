"""The comparison with other engines: the same work for everybody, in turn, and the arithmetic it is measured by."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from flux2.architectures import ARCHITECTURES
from flux2.bench import bounds, plot, scaling
from flux2.bench.peers import __main__ as peers
from flux2.bench.peers.arithmetic import decode_operations, step_operations
from flux2.bench.peers.contender import Contender, Work
from flux2.bench.peers.race import WARM_UPS, race, relative_error
from flux2.bench.peers.random_weights import random_weight
from flux2.mlx_backend import mx

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
    rows = race([contender("a", 2.0, order), contender("b", 2.1, order)], rounds=3)
    alone = WARM_UPS + 1  # and once for the peak
    assert order == ["a"] * alone + ["b"] * alone + ["a", "b"] * 3
    assert [row["name"] for row in rows] == ["a", "b"]
    assert [len(row["seconds"]) for row in rows] == [3, 3]
    assert all(row["least"] <= row["median"] <= row["most"] for row in rows)
    assert rows[0]["peak_above_weights"] == 30
    assert rows[1]["relative_error"] == pytest.approx(0.05)


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


def test_measures_how_a_step_grows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scaling.json"
    options = ["--divisor", "32", "--sides", "64,128", "--tokens", "16", "--rounds", "1", "--json", str(out)]
    assert scaling.main([*options, "--transformer-quant", "bf16,int4"]) == 0
    rows = json.loads(out.read_text())["rows"]
    assert [(row["level"], row["side"], row["tokens"]) for row in rows] == [
        ("bf16", 64, 32),
        ("bf16", 128, 80),
        ("int4", 64, 32),
        ("int4", 128, 80),
    ]
    assert rows[1]["operations"] > rows[0]["operations"]
    assert "| int4 | 128×128 | 80 |" in capsys.readouterr().out


def test_draws_how_a_step_grows(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    row = {"level": "bf16", "tokens": 1536, "median": 0.02, "peak_above_weights": 2**28}
    conditions = {"backend": "gpu", "device": "NVIDIA H200", "versions": {"mlx": "0.32.4"}}
    report = {"model": "klein-4b", "conditions": conditions, "rows": [row, {**row, "tokens": 4608, "median": 0.07}]}
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    plot.draw([report], first)
    plot.draw([report], second)
    assert first.read_text().count("seconds per step") == 1
    assert first.read_bytes() == second.read_bytes()


def test_measures_phases_against_their_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(bounds, "_SIDE", {"cpu": 64, "gpu": 64})
    out = tmp_path / "bounds.json"
    options = ["--divisor", "32", "--side", "64", "--tokens", "16", "--json", str(out)]
    assert bounds.main([*options, "--transformer-quant", "bf16,int4"]) == 0
    report = json.loads(out.read_text())
    assert [row["phase"] for row in report["bounds"]] == ["encode", "load bf16", "load int4", "decode 64×64"]
    assert all(row["seconds"] > 0 and row["bound"] > 0 for row in report["bounds"])
    assert report["bytes_per_second"] > 1e6
