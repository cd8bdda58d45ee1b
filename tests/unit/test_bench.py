"""The bench measures what it says, in processes of their own, and shows it beside the document's figures."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from flux2 import cli
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.bench import report as reports
from flux2.bench.cell import PROGRESS, Cell, measure
from flux2.bench.document import FIGURES, document_figure
from flux2.bench.findings import find_all
from flux2.bench.report import BenchPlan, run_bench
from flux2.bench.synthetic import write_synthetic
from flux2.bench.tables import as_markdown
from flux2.commands.cancelling import Cancelled
from flux2.denoise import preview
from flux2.errors import Flux2Error
from tests.unit.checkpoints import resident

MIB = 2**20
BITS = {"qint8": 8.5, "int4": 4.5}


def cells_of(models: tuple[str, ...], quantizations: tuple[str, ...], *parts: str) -> list[tuple[Any, ...]]:
    plan = BenchPlan(models=models, quantizations=quantizations, parts=parts, cell=Cell(source=""))
    return [(model, cell.quantization, cell.parts) for model, cell in plan.cells()]


def test_the_text_encoder_is_measured_once_per_model() -> None:
    found = cells_of(("a", "b"), ("qint8", "int4"), "encode", "load")
    assert found == [
        ("a", "bf16", ("encode",)),
        ("a", "qint8", ("load",)),
        ("a", "int4", ("load",)),
        ("b", "bf16", ("encode",)),
        ("b", "qint8", ("load",)),
        ("b", "int4", ("load",)),
    ]


def test_a_generation_measures_the_other_parts_too() -> None:
    assert cells_of(("a",), ("int4",), "encode", "load", "generate") == [("a", "int4", ("generate",))]
    assert cells_of(("a",), ("int4",), "decode", "generate")[0] == ("a", "bf16", ("decode",))


def test_only_generations_are_measured_streamed() -> None:
    both = BenchPlan(
        models=("a",),
        quantizations=("int4",),
        residencies=("resident", "streamed"),
        parts=("load", "generate"),
        cell=Cell(source=""),
    )
    assert [cell.residency for _, cell in both.cells()] == ["resident", "streamed"]
    loads = [cell.residency for _, cell in replace(both, parts=("load",)).cells()]
    assert loads == ["resident"]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    return write_synthetic("klein-4b", tmp_path / "small", divisor=16)


@pytest.mark.parametrize("quantization", BITS)
def test_active_and_peak_of_loading_are_what_the_arithmetic_says(small: Path, quantization: str) -> None:
    others = resident()
    measured = measure(Cell(source=str(small), quantization=quantization))
    peak = measured.figures["quantization_peak"] - others
    shapes = scaled_down(ARCHITECTURES["klein-4b"], 16).shapes()["transformer"].values()
    matrices = [math.prod(shape) for shape in shapes if len(shape) == 2]
    quantized = sum(matrices) * BITS[quantization] / 8
    assert measured.figures["transformer_active"] == pytest.approx(quantized, rel=0.01)
    assert quantized < peak <= quantized + 2 * max(matrices) * 2
    assert measured.seconds["load"] > 0


def test_a_generation_has_every_figure(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "_PICTURES", 2)  # to be quick
    cell = Cell(source=str(small), quantization="int4", parts=("generate",), width=64, height=64, steps=2, tokens=16)
    measured = measure(cell)
    assert set(measured.figures) == {figure.key for figure in FIGURES}
    assert measured.figures["generation_peak"] == max(measured.phase_peaks.values())
    assert measured.phase_peaks.keys() == {"encode", "load", "denoise", "decode"}
    assert len(measured.step_seconds) == 2
    assert 0 < measured.figures["decode_above_weights"] < measured.phase_peaks["decode"]
    again = measure(replace(cell, residency="streamed"))
    assert "text_encoding_peak" in again.figures  # what the first run left on the disk was not used
    assert "transformer_active" not in again.figures
    assert again.phase_peaks["denoise"] < measured.phase_peaks["denoise"]


def test_command_writes_a_report_and_prints_the_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report.json"
    arguments = ["bench", "--synthetic", "--divisor", "32", "--model", "klein-4b", "--transformer-quant", "int4"]
    assert cli.main([*arguments, "--part", "load", "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    (cell,) = report["cells"]
    assert cell["figures"]["transformer_active"] > 0
    assert report["synthetic"]
    assert report["conditions"]["versions"]["mlx"][0].isdigit()
    printed = capsys.readouterr()
    assert "## Transformer active memory" in printed.out
    assert "divided by 32" in printed.out
    assert "klein-4b int4 resident: load took" in printed.err
    assert "· load: " in printed.err
    assert cell["wall_seconds"] >= cell["seconds"]["load"]


def test_what_was_measured_is_in_the_file_when_the_program_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = iter(({"transformer_active": MIB},))

    def pretend(_cell: Cell, _say: Callable[[str], None]) -> dict[str, Any]:
        figures = next(measured, None)
        if figures is None:
            raise KeyboardInterrupt
        phases: dict[str, Any] = {"phase_peaks": {}, "phase_ends": {}, "seconds": {}, "step_seconds": []}
        return {**phases, "figures": figures, "footprint": 1, "dtype": "float32"}

    monkeypatch.setattr(reports, "_run_cell", pretend)
    out = tmp_path / "report.json"
    plan = BenchPlan(models=("pocket",), quantizations=("qint8", "int4"), parts=("load",), cell=Cell(source=""))
    with pytest.raises(KeyboardInterrupt):
        run_bench(plan, out)
    (cell,) = json.loads(out.read_text())["cells"]
    assert (cell["quantization"], cell["figures"]) == ("qint8", {"transformer_active": MIB})


def test_a_cancelled_measurement_takes_its_process_along(monkeypatch: pytest.MonkeyPatch) -> None:
    program = "import sys, time; print(sys.argv[1], file=sys.stderr, flush=True); time.sleep(600)"
    started: list[subprocess.Popen[str]] = []
    real = subprocess.Popen

    def start(_command: list[str], **options: Any) -> subprocess.Popen[str]:
        started.append(real([sys.executable, "-c", program, f"{PROGRESS}step 1"], **options))
        return started[0]

    def cancel(_: str) -> None:
        raise Cancelled(signal.SIGINT)

    monkeypatch.setattr("flux2.bench.report.subprocess.Popen", start)
    with pytest.raises(Cancelled):
        reports._run_cell(Cell(source="pocket"), cancel)
    assert started[0].returncode == -signal.SIGKILL


def test_a_cell_that_fails_says_why_and_the_others_are_measured(
    small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    options = ["--model", str(empty), "--model", str(small), "--transformer-quant", "int4", "--part", "load"]
    assert cli.main(["bench", *options]) == 1
    printed = capsys.readouterr()
    complaint = f"failed: {empty}/model_index.json is missing"
    assert complaint in printed.err
    assert complaint in printed.out.partition("## Not measured")[2]
    assert f"| {small} | " in printed.out.partition("## Seconds")[0]


def test_nothing_measured_is_still_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--model", str(tmp_path), "--transformer-quant", "int4", "--part", "load"]) == 1
    assert capsys.readouterr().out.startswith("## Not measured")


def test_a_report_that_cannot_be_written_is_refused_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["bench", "--model", "unmeasured", "--json", str(tmp_path / "file" / "report.json")]) == 1
    assert "unmeasured" not in capsys.readouterr().err


def test_an_unknown_model_is_refused_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--model", "klein-5b"]) == 2
    assert capsys.readouterr().err.count("klein-5b") == 1


def test_refuses_a_synthetic_model_that_is_not_known() -> None:
    plan = BenchPlan(
        models=("klein-5b",), quantizations=("int4",), parts=("load",), cell=Cell(source=""), synthetic=True
    )
    with pytest.raises(Flux2Error, match="klein-5b"):
        run_bench(plan)


def test_several_runs_give_medians_and_their_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    active = iter((3 * MIB, 1 * MIB, 2 * MIB))
    peaks = {"phase_peaks": {}, "phase_ends": {}, "footprint": 1, "dtype": "float32"}

    def pretend(_cell: Cell, _say: Callable[[str], None]) -> dict[str, Any]:
        figures = {"transformer_active": next(active)}
        return {**peaks, "figures": figures, "seconds": {"load": 1.0}, "step_seconds": [9.0, 1.0, 2.0]}

    monkeypatch.setattr(reports, "_run_cell", pretend)
    plan = BenchPlan(models=("pocket",), quantizations=("int4",), parts=("load",), cell=Cell(source=""), runs=3)
    (cell,) = run_bench(plan)["cells"]
    assert cell["figures"]["transformer_active"] == 2 * MIB
    assert cell["spread"]["figures"]["transformer_active"] == (1 * MIB, 3 * MIB)
    assert cell["step"] == {"median": 1.5, "least": 1.0, "most": 2.0}  # the first of each run is left out


def cell_of(figures: dict[str, float], **changes: Any) -> dict[str, Any]:
    return {
        "model": "klein-4b",
        "quantization": "int4",
        "residency": "resident",
        "parts": ["generate"],
        "width": 1024,
        "height": 1024,
        "steps": 4,
        "guidance": None,
        "tokens": None,
        "runs": 1,
        "dtype": "bfloat16",
        "figures": figures,
        "phase_peaks": {"decode": 2, "denoise": 1},
        "seconds": {"load": 12.0},
        "step_seconds": [[1.0, 1.0]],
        "step": {"median": 1.0, "least": 0.9, "most": 1.2},
        "spread": {
            "seconds": {"load": [11.0, 13.0]},
            "figures": {name: [value, value] for name, value in figures.items()},
        },
        **changes,
    }


def report_of(*cells: dict[str, Any]) -> dict[str, Any]:
    conditions = {
        **dict.fromkeys(("chip", "os", "device", "python", "commit", "date"), "x"),
        "backend": "gpu",
        "cores": 2,
        "physical_memory": MIB,
        "load_average": [0.5],
        "gpu_busy_percent": None,
        "versions": {},
    }
    return {"synthetic": True, "divisor": 1, "command": "flux2 bench", "conditions": conditions, "cells": list(cells)}


def test_tables_show_ours_the_documents_and_the_ratio() -> None:
    figures = {"transformer_active": 2094 * MIB, "quantization_peak": 2028.5 * MIB, "generation_peak": 12533 * MIB}
    text = as_markdown(report_of(cell_of(figures)))
    assert "| klein-4b | 2,094 (document 2,094, × 1.00) |" in text
    assert "| klein-4b | 2,028 (document 4,057, × 0.50) |" in text
    assert "| klein-4b | 12,533 (document 12,533, × 1.00) |" in text
    assert "| klein-4b | int4, resident | load | 12.00 | 11.00 – 13.00 |" in text
    assert "| klein-4b | int4, resident | one step | 1.00 | 0.90 – 1.20 |" in text
    assert "decode above" not in text


def test_tables_show_what_was_planned_and_wanted() -> None:
    figures = {"transformer_active": 2079.0 * MIB, "quantization_peak": 2300 * MIB}
    lines = as_markdown(report_of(cell_of(figures))).splitlines()
    active = next(line for line in lines if line.startswith("| transformer active |"))
    assert active.endswith("| 2,079 | 2,079 – 2,079 | 2,094 | 0.99 | 2,079 | +0.0 % | ≤ 2,079 | met |")
    peak = next(line for line in lines if line.startswith("| quantization peak |"))
    assert peak.endswith("| ≤ 2,220 | **missed** |")


def test_another_size_than_the_documents_is_not_compared() -> None:
    figures = {"transformer_active": 2094 * MIB, "generation_peak": 3000 * MIB}
    text = as_markdown(report_of(cell_of(figures, width=256, height=256)))
    assert "| klein-4b | 2,094 (document 2,094, × 1.00) |" in text
    assert "| klein-4b | 3,000 |" in text


def test_findings_say_only_what_the_report_has_figures_for() -> None:
    whole = cell_of({"transformer_active": 8000, "generation_peak": 7 << 30}, quantization="bf16")
    small = cell_of({"transformer_active": 2000}, step={"median": 1.5, "least": 1.5, "most": 1.5})
    streamed = cell_of({}, residency="streamed", step={"median": 3.0, "least": 3.0, "most": 3.0})
    assert find_all(report_of(whole, small, streamed)) == [
        "int4 against bf16, transformer in memory: klein-4b -75 %.",
        "int4 against bf16, seconds per step: klein-4b × 1.50.",
        "klein-4b int4: a step with the blocks streamed takes × 2.00 of a resident one.",
        "klein-4b bf16, resident: the peak, 7.00 GiB, is in decode.",
        "From 16 GB on: klein-4b bf16.",
    ]
    assert find_all(report_of(small)) == []


def test_draws_the_pictures_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pretend(cell: Cell, _say: Callable[[str], None]) -> dict[str, Any]:
        shade = 100 if cell.quantization == "bf16" else 110
        Image.new("RGB", (256, 256), (shade, shade, shade)).save(str(cell.picture))
        figures = {"transformer_active": 3 * MIB, "generation_peak": 70 * MIB}
        phases = {"phase_peaks": {"decode": 1}, "phase_ends": {}, "seconds": {"generation": 2.0}}
        return {**phases, "figures": figures, "step_seconds": [1.0], "footprint": 1, "dtype": "float32"}

    monkeypatch.setattr(reports, "_run_cell", pretend)
    sheet, out = tmp_path / "sheet.png", tmp_path / "report.json"
    options = ["--model", "pocket", "--transformer-quant", "bf16,int4", "--part", "generate"]
    assert cli.main(["bench", *options, "--sheet", str(sheet), "--json", str(out)]) == 0
    bf16, int4 = json.loads(out.read_text())["cells"]
    assert "likeness" not in bf16
    assert int4["likeness"]["psnr"] == pytest.approx(28.13, abs=0.01)  # 20 log10(255 / 10)
    assert 0.9 < int4["likeness"]["ssim"] < 1
    assert int4["likeness"]["texture"] == 1  # flat pictures have none
    with Image.open(sheet) as picture:
        assert picture.width == 2 * 256 + 3 * 16
        assert picture.getpixel((16 + 128, picture.height // 2)) == (100, 100, 100)
    assert "| pocket | int4, resident | 28.1 | 0." in capsys.readouterr().out


def test_a_sheet_needs_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "--model", "pocket", "--sheet", str(tmp_path / "sheet.png")]) == 2
    assert "add --part generate" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "level", "expected"), [("klein-base-9b", "qint8", 9223), ("pocket", "int4", None), ("dev", "bf16", 61491)]
)
def test_finds_the_documents_figures(model: str, level: str, expected: int | None) -> None:
    assert document_figure(FIGURES[0], model, level) == expected
