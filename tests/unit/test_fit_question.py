"""The command line's question before a run that does not fit; the engine is a fake."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import fake_engine
import pytest

from flux2.cli import main
from flux2.pictures.images import read_metadata
from flux2.request import GenerationRequest

ASKED = ["t2i", "fox", "--model", "klein-9b", "--seed", "1", "--steps", "1", "--memory-budget", "9GiB"]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flux2.generate", fake_engine.as_module())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> Terminal:
    """Answers are typed; what is asked goes into what is returned."""
    shown = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", shown)
    return shown


def made() -> GenerationRequest | None:
    pictures = list(Path().glob("*.png"))
    return read_metadata(pictures[0]).request if pictures else None


def test_without_a_terminal_it_is_one_sentence_with_what_would_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(ASKED) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "klein-9b bf16 at 1024×1024 does not fit: it needs " in said
    assert "--transformer-quant int6 --residency resident (" in said
    assert "--force runs it all the same." in said
    assert said.count("--transformer-quant") == 3, "only the best are named"
    assert made() is None


def test_force_runs_it_and_so_does_what_fits() -> None:
    assert main([*ASKED, "--force"]) == 0
    request = made()
    assert request
    assert (request.quantization, request.force) == ("bf16", True)


def test_what_fits_is_not_questioned() -> None:
    assert main([*ASKED, "--transformer-quant", "int4"]) == 0


@pytest.mark.parametrize(
    ("typed", "quantization", "residency", "forced"),
    [
        ("y\n", "bf16", "resident", True),
        ("1\n", "int6", "resident", False),
        ("what\n99\n4\n", "int4", "resident", False),
        ("5\n", "bf16", "streamed", False),
    ],
)
def test_at_a_terminal_the_answer_is_taken(
    monkeypatch: pytest.MonkeyPatch, typed: str, quantization: str, residency: str, forced: bool
) -> None:
    shown = at_a_terminal(monkeypatch, typed)
    assert main(ASKED) == 0
    request = made()
    assert request
    assert (request.quantization, request.residency, request.force) == (quantization, residency, forced)
    assert "  1  int6 " in shown.getvalue()
    assert "after flux2 quantize)" in shown.getvalue()


@pytest.mark.parametrize("typed", ["", "\n", "n\n"])
def test_nothing_is_made_where_the_user_takes_nothing(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    shown = at_a_terminal(monkeypatch, typed)
    assert main(ASKED) == 1
    assert shown.getvalue().endswith("Nothing was made, as you chose.\n")
    assert made() is None


def test_a_budget_that_makes_no_sense_is_bad_arguments(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*ASKED[:-1], "much"]) == 2
    assert "--memory-budget is 'much'" in capsys.readouterr().err
    monkeypatch.setenv("FLUX2_MEMORY_BUDGET", "lots")
    assert main(ASKED[:-2]) == 2
    assert "FLUX2_MEMORY_BUDGET is 'lots'" in capsys.readouterr().err
    assert made() is None
