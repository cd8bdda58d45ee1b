"""`flux2 doctor`: what it finds where all is well, and that it finds what is not."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from flux2 import folders, paths
from flux2.backend.chip import Chip
from flux2.backend.mlx import mx
from flux2.backend.packing import pack
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint import manifest
from flux2.cli import main
from flux2.doctor import arithmetic, models, pictures, report, system
from flux2.doctor.finding import Finding, note, ok, wrong
from flux2.planning import this_machine
from flux2.planning.budget import Budget
from flux2.quantization.linear import Quantization, quantize


def _states(findings: object) -> list[str]:
    return [finding.state for finding in findings]  # type: ignore[attr-defined]


def test_all_is_well_here_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"System", "MLX", "Models", "Pictures", "Worker"} == {finding["section"] for finding in findings}
    assert len([finding for finding in findings if finding["section"] == "Pictures"]) == len(pictures.WAYS)
    assert {path.name for path in tmp_path.glob("home/cache/*")} <= {"blas"}, "pictures and prompts left something"


def test_finds_wrong_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    right = arithmetic.attend
    monkeypatch.setattr(arithmetic, "attend", lambda *arrays: 1.001 * right(*arrays))
    found = list(arithmetic.check_operations())
    assert _states(found)[0] == "wrong"
    assert "attention 0.001, masked attention 0.001, wide attention 0.001" in found[0].what


def test_finds_wrong_quantization(monkeypatch: pytest.MonkeyPatch) -> None:
    def off(weight: mx.array, mode: Quantization) -> tuple[mx.array, mx.array, mx.array]:
        codes, scales, biases = quantize(weight, mode)
        return codes, scales * (1.02 if mode.name == "qint8" else 1), biases

    monkeypatch.setattr(arithmetic, "quantize", off)
    assert _states(arithmetic.check_operations()) == ["ok", "wrong", *["ok"] * (len(arithmetic.MODES) - 2)]


@pytest.mark.parametrize("level", [level for level, mode in arithmetic.MODES.items() if mode])
def test_finds_codes_that_were_rounded_down(level: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def rounded_down(weight: mx.array, mode: Quantization) -> tuple[mx.array, mx.array, mx.array]:
        codes, scales, biases = quantize(weight, mode)
        if mode.name != level:
            return codes, scales, biases
        groups = weight.astype(mx.float32).reshape(*scales.shape, -1)
        exact = (groups - biases[..., None]) / scales[..., None]
        down = mx.clip(mx.floor(exact), 0, 2**mode.bits - 1).astype(mx.uint8).reshape(len(weight), -1)
        return pack(down, mode.bits).view(mx.uint32), scales, biases

    monkeypatch.setattr(arithmetic, "quantize", rounded_down)
    states = {finding.what.split()[0]: finding.state for finding in arithmetic.check_operations()}
    assert states[level] == "wrong"
    assert list(states.values()).count("ok") == len(states) - 1


def test_finds_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(paths, "cache_dir", lambda: file)
    found = {finding.what.partition(":")[0]: finding for finding in system.check_folders()}
    assert found["cache"].state == "wrong"
    assert found["state"].state != "wrong"


@pytest.mark.parametrize(
    ("translated", "told"), [("1\n", "under Rosetta"), ("0\n", "an Intel processor"), ("", "Intel")]
)
def test_finds_an_intel_python_on_a_mac(translated: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system, "_output", lambda *_: translated)
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("13.7.8", ("", "", ""), "x86_64"))
    processor, macos = (finding for finding in system.check_machine() if finding.state == "wrong")
    assert told in processor.what and "macOS 13.7" in macos.what


def test_tells_what_the_environment_chooses_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLX_MAX_MB_PER_BUFFER", "7")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    told = " ".join(finding.what for finding in system.check_machine())
    assert "MLX_MAX_MB_PER_BUFFER=7" in told and "hf_secret" not in told


def test_finds_a_mac_that_saves_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    told = " powernap             1\n lowpowermode         {}\n hibernatemode        3\n"
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(system, "_output", lambda *_: told.format(1))
    assert _states(system.check_power()) == ["note"]
    monkeypatch.setattr(system, "_output", lambda *_: told.format(0))
    assert not _states(system.check_power())


def test_finds_a_macos_that_wires_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    chip = Chip(name="Apple M1", backend="metal", memory_limit=10 << 30, generation=1)
    monkeypatch.setattr(arithmetic, "this_chip", lambda: chip)
    for macos, states in (((14, 7), ["ok", "note"]), ((15, 0), ["ok"])):
        monkeypatch.setattr(arithmetic, "macos_version", lambda macos=macos: macos)
        assert _states(arithmetic.check_device()) == states


def _download_klein(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In the Hub's cache: a small one under the large one's name."""
    monkeypatch.setattr(folders, "models_dir", lambda: home)
    monkeypatch.setattr(manifest, "models_dir", lambda: home)
    return write_synthetic("klein-4b", home / "models--black-forest-labs--FLUX.2-klein-4B/snapshots/1", divisor=64)


def test_finds_a_model_that_is_not_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _download_klein(tmp_path, monkeypatch)
    first, *_ = models.check_models()
    assert first.what == "models here: pocket, klein-4b"
    (folder / "vae" / "config.json").unlink()
    _, second, *_ = models.check_models()
    assert (second.state, second.what) == ("note", "of klein-4b files are missing")


def test_finds_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _states(models.check_reading())
    _download_klein(tmp_path, monkeypatch)
    assert models._read_speed(next(tmp_path.rglob("*.safetensors"))) > 0
    for speed, state in ((models.SLOW_DISK - 1, "note"), (models.SLOW_DISK, "ok")):
        monkeypatch.setattr(models, "_read_speed", lambda _, speed=speed: speed)
        assert _states(models.check_reading()) == [state]


def test_tells_what_fits_beside_other_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for available, state in ((30 << 30, "ok"), (1 << 30, "note")):
        monkeypatch.setattr(
            this_machine, "budget", lambda available=available: Budget(limit=30 << 30, available=available)
        )
        (found,) = models.check_fit()
        assert found.state == state
        assert ("klein-4b bf16, klein-9b bf16" in found.what) == (state == "ok")
        assert ("klein-4b int4 (tight)" in found.what) == (state == "note")


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[Finding]:
        raise RuntimeError("[metal::load_device] No Metal device available")

    monkeypatch.setattr(report, "SECTIONS", {"A": ("system", ("missing", "check_memory")), "B": ("nowhere", ("x",))})
    monkeypatch.setattr(system, "check_memory", fails)
    findings = [finding for _, finding in report.run_checks()]
    assert _states(findings) == ["wrong"] * 3
    assert "no access to the Mac's GPU" in findings[1].remedy


def test_what_several_checks_fail_with_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[Finding]:
        raise RuntimeError("[metal::load_device] No Metal device available")

    for check in ("check_memory", "check_power"):
        monkeypatch.setattr(system, check, fails)
    monkeypatch.setattr(report, "SECTIONS", {"A": ("system", ("check_memory", "check_power"))})
    assert _states(finding for _, finding in report.run_checks()) == ["wrong"]


def test_the_report_tells_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/Users/ann"))
    findings = [("A", ok("/Users/ann/x is fine")), ("A", note("n")), ("B", wrong("w", "Look into /Users/ann/y."))]
    lines = list(report.as_text(findings))
    assert lines == ["A", "  ✓ ~/x is fine", "  ! n", "B", "  ✗ w", "      Look into ~/y."]
