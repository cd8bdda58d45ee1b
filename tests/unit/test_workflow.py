"""The workflow runs what README tells a user to run, on the machines and versions that it names."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from flux2.cli import main

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def job(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The one job of a workflow."""
    (found,) = yaml.safe_load(request.param.read_text(encoding="utf-8"))["jobs"].values()
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_there_is_a_workflow() -> None:
    assert FILES


def test_it_runs_the_readme_s_very_test_command(job: dict[str, Any]) -> None:
    blocks = re.findall(
        r"^```sh\n(.+?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (told,) = [block.strip() for block in blocks if "pytest" in block]
    assert commands(job)[0] == told


def test_it_runs_on_a_mac_and_on_linux_with_the_oldest_python_and_a_new_one(job: dict[str, Any]) -> None:
    matrix = job["strategy"]["matrix"]
    assert {machine.partition("-")[0] for machine in matrix["machine"]} == {"macos", "ubuntu"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f">={matrix['python'][0]}" == project["requires-python"]
    assert matrix["python"][1:] and all(isinstance(version, str) for version in matrix["python"])


def test_its_commands_are_ones_that_the_program_takes(job: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    for program in ("doctor", "t2i"):
        monkeypatch.setattr(f"flux2.commands.{program}.run", lambda args: taken.append(args) or 0)
    for command in commands(job):
        for each in re.findall(r"\.venv/bin/flux2 ([^|&]+)", command):
            assert main(shlex.split(each)) == 0
    assert [str(args.output) for args in taken if "output" in args] == ["report/fox.png"]
    assert len(taken) == 2


def test_its_reports_are_uploaded_whatever_failed(job: dict[str, Any]) -> None:
    *_, upload = job["steps"]
    assert upload["uses"].startswith("actions/upload-artifact@")
    assert "always()" in upload["if"] or "!cancelled()" in upload["if"]
    written = [re.findall(r"\breport/\S+", command) for command in commands(job)[1:]]
    assert all(written) and upload["with"]["path"] == "report"
