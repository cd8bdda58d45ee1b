"""`flux2 doctor`: what it finds where all is well, and that it finds what is not."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import pytest

from flux2 import paths
from flux2.cli import main
from flux2.doctor import arithmetic, pictures, report, system
from flux2.doctor.finding import Finding, note, ok, wrong


def _states(findings: object) -> list[str]:
    return [finding.state for finding in findings]  # type: ignore[attr-defined]


def test_all_is_well_here_and_nothing_stays_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    assert main(["doctor", "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert {"System", "MLX", "Pictures", "Worker"} == {finding["section"] for finding in findings}
    assert len([finding for finding in findings if finding["section"] == "Pictures"]) == len(pictures.WAYS)
    assert {path.name for path in tmp_path.glob("home/cache/*")} <= {"blas"}, "pictures and prompts left something"


def test_finds_wrong_arithmetic(monkeypatch: pytest.MonkeyPatch) -> None:
    right = arithmetic.attend
    monkeypatch.setattr(arithmetic, "attend", lambda *arrays: 1.001 * right(*arrays))
    found = list(arithmetic.check_operations())
    assert _states(found)[0] == "wrong"
    assert "attention 0.001, masked attention 0.001, wide attention 0.001" in found[0].what


def test_finds_wrong_quantization(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(arithmetic.MODES, "qint8", arithmetic.MODES["int4"])
    assert _states(arithmetic.check_operations()) == ["ok", "wrong", "ok"]


def test_finds_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(paths, "cache_dir", lambda: file)
    found = {finding.what.partition(":")[0]: finding for finding in system.check_folders()}
    assert found["cache"].state == "wrong"
    assert found["state"].state != "wrong"


def test_finds_an_intel_python_on_a_mac(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(platform, "mac_ver", lambda: ("13.7.8", ("", "", ""), "x86_64"))
    assert _states(system.check_machine()) == ["ok", "wrong", "wrong"]


def test_a_check_that_fails_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> list[Finding]:
        raise RuntimeError("[metal::load_device] No Metal device available")

    monkeypatch.setattr(report, "SECTIONS", {"A": ("system", ("missing", "check_memory")), "B": ("nowhere", ("x",))})
    monkeypatch.setattr(system, "check_memory", fails)
    findings = [finding for _, finding in report.run_checks()]
    assert _states(findings) == ["wrong"] * 3
    assert "no access to the Mac's GPU" in findings[1].remedy


def test_the_report_tells_no_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "home", lambda: Path("/Users/ann"))
    findings = [("A", ok("/Users/ann/x is fine")), ("A", note("n")), ("B", wrong("w", "Look into /Users/ann/y."))]
    lines = list(report.as_text(findings))
    assert lines == ["A", "  ✓ ~/x is fine", "  ! n", "B", "  ✗ w", "      Look into ~/y."]
