"""How denoising grows is measured in every direction, drawn, and told, each machine for itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.bench.research import page_parts, plot, recorded, scaling
from flux2.bench.research.peers import ours
from flux2.bench.research.peers.contender import Work
from flux2.checkpoint.networks import TRANSFORMER

SMALL = ["--divisor", "32", "--sides", "64,128", "--side", "64", "--tokens", "16", "--rounds", "1"]
MACHINES = {
    "cpu": {"backend": "cpu", "cores": 2, "device": "AMD EPYC", "versions": {"mlx": "0.32.4"}},
    "gpu": {"backend": "gpu", "cores": 16, "device": "NVIDIA H200", "versions": {"mlx": "0.32.4"}},
}


def work() -> Work:
    architecture = scaled_down(ARCHITECTURES["klein-4b"], 32)
    return Work(
        model="klein-4b", architecture=architecture, divisor=32, height=64, width=64, dtype="float32", text_tokens=16
    )


def test_measures_every_direction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scaling.json"
    assert scaling.main([*SMALL, "--transformer-quant", "bf16,int4", "--json", str(out)]) == 0
    rows = json.loads(out.read_text())["rows"]
    found = [(row["part"], row["level"], row[row["part"]]) for row in rows]
    grown = {"tokens": (32, 80), "steps": (1, 2, 4, 8), "batch": (1, 2, 4), "passes": (1, 2)}
    assert found == [(part, level, x) for level in ("bf16", "int4") for part, xs in grown.items() for x in xs]
    of_one = next(row["operations"] for row in rows if row["part"] == "steps")
    assert [row["operations"] / of_one for row in rows if row["part"] == "batch"][:3] == [1, 2, 4]
    assert "| int4 | 128×128 | 80 | 1 | 1 | 1 |" in capsys.readouterr().out


def test_measures_what_it_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "scaling.json"
    options = ["--part", "passes", "--transformer-quant", "bf16", "--json", str(out)]
    assert scaling.main([*SMALL, *options]) == 0
    assert [row["passes"] for row in json.loads(out.read_text())["rows"]] == [1, 2]


def test_pictures_computed_at_once_are_those_computed_alone() -> None:
    network, _ = ours.load(work(), TRANSFORMER, "bf16")
    alone = ours.as_numpy(ours.step_of(network, work(), "one").run())
    for made in (ours.step_of(network, work(), "three", batch=3), ours.step_of(network, work(), "two", passes=2)):
        together = ours.as_numpy(made.run())
        assert together.shape[0] == (3 if made.name == "three" else 1)
        for picture in together:
            np.testing.assert_allclose(picture, alone[0], rtol=1e-4, atol=1e-4)


def test_a_denoising_goes_through_all_its_steps() -> None:
    network, _ = ours.load(work(), TRANSFORMER, "bf16")
    one, four = (ours.as_numpy(ours.denoising_of(network, work(), "", steps).run()) for steps in (1, 4))
    assert np.isfinite(four).all()
    assert np.abs(one - four).max() > 0.01


def report(machine: str, **changes: Any) -> dict[str, Any]:
    row = {"part": "tokens", "level": "bf16", "side": 512, "tokens": 1536, "steps": 1, "batch": 1, "passes": 1}
    row |= {"median": 0.02, "operations": 1e12, "peak_above_weights": 2**28}
    rows = [row, {**row, "side": 1024, "tokens": 4608, "median": 0.07}, {**row, "part": "steps", "steps": 8}]
    return {"model": "klein-4b", "divisor": 1, "conditions": MACHINES[machine], "rows": rows, **changes}


def test_draws_a_row_of_panels_per_machine(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    for path in (first, second):
        plot.draw([report("gpu"), report("cpu", divisor=4)], path)
    drawn = first.read_text()
    assert drawn.count("<!-- one step -->") == 4
    assert drawn.count("<!-- a whole denoising -->") == 2
    assert "<!-- klein-4b ÷ 4 on 2 cores of AMD EPYC (MLX 0.32.4) -->" in drawn
    assert first.read_bytes() == second.read_bytes()


def test_the_readme_names_the_machine_of_each_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bound = {"phase": "load int4", "seconds": 3.0, "bound": 2.0, "bytes": 1, "operations": 0.0}
    for machine in MACHINES:
        facts = report(machine)
        (tmp_path / f"{machine}-scaling.json").write_text(json.dumps(facts))
        del facts["rows"]
        (tmp_path / f"{machine}-bounds.json").write_text(json.dumps({**facts, "bounds": [bound]}))
    monkeypatch.setattr(page_parts, "FOLDER", tmp_path)
    monkeypatch.setattr(page_parts, "read_all", lambda kind: recorded.read_all(kind, tmp_path))
    cpu, gpu = "2 cores of AMD EPYC (MLX 0.32.4)", "NVIDIA H200 (MLX 0.32.4)"
    assert f"| klein-4b, load int4 | 3.00 | 2.00 | 1.50 | {cpu} |" in page_parts.bounds_part()
    assert f"| klein-4b, load int4 | 3.00 | 2.00 | 1.50 | {gpu} |" in page_parts.bounds_part()
    scaled = page_parts.scaling_part()
    assert f"| klein-4b, one step, pixels of a side: 512 · 1024 | 20 · 70 | {cpu} |" in scaled
    assert f"| klein-4b, steps: 8 | 20 | {gpu} |" in scaled
    assert "scaling.svg" not in scaled
    (tmp_path / "scaling.svg").touch()
    assert "scaling.svg" in page_parts.scaling_part()
