"""`flux2` as its users meet it: output, exit codes, sentences, Ctrl-C. The engine is a fake except in the last test."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import fake_engine
import pytest
from PIL import Image

from flux2 import __version__
from flux2.architecture.catalog import MODELS
from flux2.cli import main
from flux2.humanize import clock, printable, seconds, size
from flux2.paths import pocket_checkpoint
from flux2.pictures.images import read_metadata
from flux2.request import GenerationRequest
from tests.unit.foreign_pictures import png

FAKE = [sys.executable, fake_engine.__file__]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flux2.generate", fake_engine.as_module())
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FLUX2_DEBUG", raising=False)
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


def test_makes_a_picture_and_prints_its_path(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["t2i", "a red fox", "--seed", "42"]) == 0
    out, err = capsys.readouterr()
    assert out == "a-red-fox-42.png\n"
    request = read_metadata(Path("a-red-fox-42.png")).request
    assert (request.prompt, request.model, request.quantization, request.seed) == ("a red fox", "pocket", "bf16", 42)
    assert re.search(r"^seed 42 · [\d.]+ s \(encode .*\) · peak 412 MiB \(denoise\)$", err, re.MULTILINE)
    assert "computing in None" in err


def test_every_option_reaches_the_engine(capsys: pytest.CaptureFixture[str]) -> None:
    options = "--model klein-4b --transformer-quant int4 --width 128 --height 96 --steps 3 --guidance 2.5 --seed 7"
    options += " --residency streamed --keep-text-encoder --vae other/vae --force"
    more = ["--negative-prompt", "blur", "--output", "out/fox", "--dtype", "float16", "--json"]
    assert main(["t2i", "fox", *options.split(), *more]) == 0
    out, err = capsys.readouterr()
    assert err == "flux2: Downloading klein-4b.\nflux2: computing in float16\n"
    assert out.count("\n") == 1
    result = json.loads(out)
    assert result.pop("seconds") >= 0
    assert result.pop("phases")["denoise"]["peak_bytes"] == 412 * 2**20
    assert len(result.pop("step_seconds")) == 3
    unsaid = json.loads(json.dumps(GenerationRequest(prompt="fox").to_dict()))
    assert result == {
        **unsaid,
        "negative_prompt": "blur",
        "model": "klein-4b",
        "quantization": "int4",
        "residency": "streamed",
        "keep_text_encoder": True,
        "vae": "other/vae",
        "force": True,
        "width": 128,
        "height": 96,
        "steps": 3,
        "guidance": 2.5,
        "seed": 7,
        "output": "out/fox.png",
        "path": "out/fox.png",
        "peak_bytes": 412 * 2**20,
        "warnings": ["computing in float16"],
        "version": __version__,
    }
    assert Path("out/fox.png").is_file()


def test_never_overwrites_and_says_where_it_went(capsys: pytest.CaptureFixture[str]) -> None:
    for expected in ("fox.png", "fox-2.png"):
        assert main(["t2i", "fox", "-o", "fox.png", "--quiet"]) == 0
        assert capsys.readouterr().out == f"{expected}\n"


def test_prompt_from_standard_input(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a fox\n"))
    assert main(["t2i", "-", "--seed", "1"]) == 0
    assert capsys.readouterr().out == "a-fox-1.png\n"


def test_seeds_differ_when_none_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        main(["t2i", "fox"])
    first, second = capsys.readouterr().out.split()
    assert first != second


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["t2i"], "There is no prompt"),
        (["t2i", " "], "prompt is empty"),
        (["t2i", "fox", "--width", "100"], "width 100 is not a multiple of 16; choose 96 or 112"),
        (["t2i", "fox", "--height", "8000"], "height 8000 is out of range"),
        (["t2i", "fox", "--steps", "0"], "0 steps are out of range"),
        (["t2i", "fox", "--guidance", "nan"], "Guidance nan is out of range"),
        (["t2i", "fox", "--seed", "-1"], "Seed -1 is out of range"),
        (["t2i", "fox", "-o", "fox.jpg"], "call it fox.png"),
    ],
)
def test_bad_values_are_one_sentence_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("flux2: ") and err.count("\n") == 1 and said in err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "arguments",
    [[], ["fly"], ["t2i", "fox", "--width", "wide"], ["t2i", "fox", "--transformer-quant", "int3"], ["info"]],
)
def test_bad_arguments_are_code_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    assert "usage: flux2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("failure", "code", "said"),
    [
        ("CheckpointError: vae/x is truncated; get it again.", 1, "flux2: vae/x is truncated; get it again."),
        ("RequestError: Model 'm' is unknown.", 2, "flux2: Model 'm' is unknown."),
        ("Bug: no such thing", 1, "flux2: Unexpected RuntimeError: no such thing. FLUX2_DEBUG=1"),
        (
            "Bug: [metal::load_device] No Metal device available.",
            1,
            "flux2: This session has no access to the Mac's GPU;",
        ),
        ("CheckpointError: \x1b[2Jgone", 1, "flux2: \\x1b[2Jgone"),
    ],
)
def test_failures_are_a_sentence(
    failure: str, code: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAKE_ERROR", failure)
    assert main(["t2i", "fox", "--json"]) == code
    out, err = capsys.readouterr()
    assert said in err and "Traceback" not in err
    assert json.loads(out)["exit_code"] == code
    assert not list(Path().iterdir())


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_ERROR", "Bug: no such thing")
    monkeypatch.setenv("FLUX2_DEBUG", "1")
    with pytest.raises(RuntimeError, match="no such thing"):
        main(["t2i", "fox"])


def test_a_folder_that_can_not_be_written_is_refused_before_the_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_ERROR", "Bug: the engine was reached")
    Path("file").touch()
    assert main(["t2i", "fox", "-o", "file/fox.png"]) == 1
    assert "can't be saved as file/fox.png: a part of that path is a file" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_and_leaves_nothing(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*FAKE, "t2i", "fox", "--steps", "100", "--json"],
        env={**os.environ, "FAKE_STEP_SECONDS": "0.05"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()  # the engine's warning: the run is under way
        process.send_signal(number)
        out, err = process.communicate(timeout=120)
    assert process.returncode == 128 + number
    assert "Cancelled; nothing was saved." in err and "Traceback" not in err
    assert json.loads(out) == {"error": "Cancelled; nothing was saved.", "exit_code": 128 + number}
    assert not list(Path().iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_second_signal_stops_at_once_and_clears_away(number: signal.Signals) -> None:
    """In the middle of a step that takes minutes."""
    command = [*FAKE, "t2i", "fox", "--force", "--json"]
    with subprocess.Popen(
        command,
        env={**os.environ, "FAKE_STEP_SECONDS": "300", "FAKE_PART": "half a picture.part"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        for _ in range(2):
            process.send_signal(number)
            time.sleep(0.1)  # two that come before the first is heard are one to the system
        while process.poll() is None:
            process.send_signal(number)
            time.sleep(0.01)
        out, err = process.communicate()
    assert process.returncode == 128 + number
    assert json.loads(out)["exit_code"] == 128 + number
    assert err.count("Cancelled") == 1 and "Traceback" not in err
    assert not list(Path().iterdir())


def test_a_signal_that_the_shell_ignores_is_ignored() -> None:
    """Signals such as SIGHUP under nohup, and SIGINT of what a script starts with &."""
    command = [*FAKE, "t2i", "fox", "--force", "--steps", "20"]
    with subprocess.Popen(
        ["sh", "-c", 'trap "" HUP INT; exec "$@"', "sh", *command],
        env={**os.environ, "FAKE_STEP_SECONDS": "0.02"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert process.returncode == 0 and Path(out.strip()).exists()


def test_a_program_that_hears_nothing_ends_after_the_second_signal_all_the_same() -> None:
    program = """
import hashlib, signal
from flux2.commands import cancelling
cancelling._PATIENCE = 0.1
with cancelling.heeding_signals(), cancelling.CancelOnSignal():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 1 << 30)  # no Python runs meanwhile, as in MLX
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.5)
    assert process.returncode == 130


def test_bar_on_a_terminal_only(capsys: pytest.CaptureFixture[str]) -> None:
    main(["t2i", "fox"])
    assert "Denoising" not in capsys.readouterr().err
    shown = _on_a_terminal([*FAKE, "t2i", "fox", "--seed", "3", "--steps", "6"], FAKE_STEP_SECONDS="0.3")
    assert "Denoising" in shown
    assert re.search(r"[2-5]/6 · 0:0[0-2] left · 0\.30 s/step · 206 MiB, peak 412 MiB", shown)
    assert "fox-3.png" in shown.replace("\r", "")
    assert "Denoising" not in _on_a_terminal([*FAKE, "t2i", "fox", "--quiet"], FAKE_STEP_SECONDS="0.1")


def _on_a_terminal(command: list[str], **environment: str) -> str:
    """What the command writes to a terminal of 100 columns."""
    leader, follower = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **environment}
    with subprocess.Popen(command, env=environ, stdin=follower, stdout=follower, stderr=follower) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                chunk = os.read(leader, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not chunk:
                break
            written += chunk
    os.close(leader)
    assert process.returncode == 0
    return re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", written.decode())


def test_the_embedded_model_draws_a_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delitem(sys.modules, "flux2.generate")
    size = ["--width", "64", "--height", "96"]
    assert main(["t2i", "a red fox", "--transformer-quant", "int4", "--steps", "2", "--json", *size]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["phases"].keys() == {"encode", "load", "denoise", "decode", "save"}
    assert 0 < sum(phase["seconds"] for phase in result["phases"].values()) <= result["seconds"]
    assert result["peak_bytes"] == max(phase["peak_bytes"] for phase in result["phases"].values()) > 0
    assert len(result["step_seconds"]) == result["steps"] == 2
    metadata = read_metadata(Path(result["path"]))
    assert (metadata.request.seed, metadata.request.guidance) == (result["seed"], result["guidance"])
    assert metadata.peaks.keys() == {"encode", "load", "denoise", "decode"}
    with Image.open(result["path"]) as image:
        assert image.size == (64, 96)
        assert len(image.getcolors(64 * 96) or ()) > 100, "a picture, not a plane"


def test_models_lists_all_with_licence_and_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    snapshot = tmp_path / "hub" / "models--black-forest-labs--FLUX.2-klein-9B" / "snapshots" / "abc"
    snapshot.parent.mkdir(parents=True)
    assert main(["models", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == MODELS.keys()
    assert [name for name, row in rows.items() if row["default"]] == ["pocket"]
    assert Path(rows["pocket"]["folder"]).is_dir() and rows["klein-9b"]["folder"] is None
    snapshot.symlink_to(pocket_checkpoint())
    assert main(["models"]) == 0
    table = capsys.readouterr().out
    assert re.search(
        rf"^klein-9b \* +9\.1 B +FLUX Non-Commercial 2\.1, gated +[\d.]+ MiB +{snapshot}$", table, re.MULTILINE
    )


def test_info_tells_what_t2i_wrote(capsys: pytest.CaptureFixture[str]) -> None:
    main(["t2i", "a \x1b[31mred fox", "--seed", "42", "-o", "fox.png"])
    capsys.readouterr()
    assert main(["info", "fox.png"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"^  seed +42$", text, re.MULTILINE)
    assert "a \\x1b[31mred fox" in text
    assert re.search(r"AI-generated$", text, re.MULTILINE)
    assert main(["info", "--json", "fox.png"]) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "a \x1b[31mred fox"
    assert main(["info", "gone.png"]) == 1
    assert "gone.png can't be read: No such file" in capsys.readouterr().err


def test_info_tells_of_other_programs_pictures_and_of_all_that_it_can(capsys: pytest.CaptureFixture[str]) -> None:
    png(Path("theirs.png"), parameters="a dog <lora:fur:0.8>\nSteps: 9, Sampler: DDIM, Seed: 5", Comment="x\x1b[2J")
    os.mkfifo("fifo.png")
    assert main(["info", "gone.png", "fifo.png", "theirs.png"]) == 1
    told = capsys.readouterr()
    assert "gone.png can't be read: No such file" in told.err
    assert "fifo.png can't be read: it is a pipe" in told.err
    for line in (
        "prompt    a dog",
        "steps     9",
        "made with AUTOMATIC1111",
        "not taken LoRA fur at 0.8 (",
    ):
        assert f"\n  {line}" in told.out
    assert "unread    Comment “x\\x1b[2J”" in told.out
    assert main(["info", "--json", "theirs.png"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["program"], data["seed"], data["left_out"][1]["what"]) == ("AUTOMATIC1111", 5, "Sampler DDIM")


def test_no_more_is_read_from_standard_input_than_a_prompt_may_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/zero").open() as endless:
        monkeypatch.setattr(sys, "stdin", endless)
        assert main(["t2i", "-"]) == 2
    assert "Standard input holds more than a prompt's 10,000 characters" in capsys.readouterr().err


def test_a_terminal_without_unicode_still_shows_it() -> None:
    main(["t2i", "a 狐", "-o", "fox.png"])
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.check_output([*FAKE, "info", "fox.png"], env=environment, text=True)
    assert "a \\u72d0" in shown and "64\\xd764" in shown


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--version"])
    assert exit_.value.code == 0
    assert capsys.readouterr().out == f"flux2-tui {__version__}\n"


def test_a_reader_that_leaves_early_is_no_failure() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([sys.executable, "-m", "flux2", "models"], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (size(0), "0 B"),
        (size(1023), "1.00 KiB"),
        (size(412 * 2**20), "412 MiB"),
        (size(2094 * 2**20), "2.04 GiB"),
        (size(96 * 2**30), "96.0 GiB"),
        (seconds(0.004), "0.00 s"),
        (seconds(9.996), "10.0 s"),
        (seconds(59.96), "1:00"),
        (seconds(1758.6), "29:19"),
        (clock(3723), "1:02:03"),
        (clock(0.4), "0:00"),
        (printable("a\x1b[0m\x07\u202eb\nc é 狐"), "a\\x1b[0m\\x07\\u202eb\nc é 狐"),
        (printable("\N{WOMAN}\u200d\N{GIRL} out"), "\N{WOMAN}\N{GIRL} out"),
    ],
)
def test_numbers_as_people_read_them(shown: str, expected: str) -> None:
    assert shown == expected


def test_ctrl_c_before_anything_has_begun_is_no_traceback() -> None:
    """While modules are imported."""
    program = """
import builtins, os, signal
from flux2.__main__ import main
real = builtins.__import__
def interrupted(name, *rest):
    if name == "flux2.cli":
        os.kill(os.getpid(), signal.SIGINT)
    return real(name, *rest)
builtins.__import__ = interrupted
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (-signal.SIGINT, b"")
