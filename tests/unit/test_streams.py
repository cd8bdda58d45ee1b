"""Standard streams that are closed, full, without a reader or not blocking: no traceback, an honest exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flux2.inputs.checks import MAX_PROMPT

ROOT = Path(__file__).parents[2]
FLUX2 = (sys.executable, "-m", "tests.unit.fake_engine")
T2I = ("t2i", "fox", "--force", "--output", "fox.png")  # forced: what fits is another's question, and takes MLX
FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def run(redirections: str, *arguments: str) -> tuple[int, str, str]:
    """Exit code and what came on the streams, with a shell's redirections."""
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirections}', "sh", *FLUX2, *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("redirections", "told_on"),
    [
        ("<&-", "stdout"),
        (">&-", "stderr"),
        ("2>&-", "stdout"),
        ("<&- >&- 2>&-", ""),
        pytest.param(">/dev/full", "stderr", marks=FULL),
        pytest.param("2>/dev/full", "stdout", marks=FULL),
        pytest.param(">/dev/full 2>/dev/full", "", marks=FULL),
    ],
)
def test_a_picture_that_was_saved_is_success_and_its_place_is_told_where_anybody_listens(
    redirections: str, told_on: str
) -> None:
    code, out, err = run(redirections, *T2I)
    assert code == 0
    assert Path("fox.png").exists()
    assert [name for name, text in (("stdout", out), ("stderr", err)) if "fox.png" in text] == [told_on] * bool(told_on)


@pytest.mark.parametrize(
    ("redirections", "said"),
    [(">&-", "Standard output is closed."), pytest.param(">/dev/full", "can't be written (No space", marks=FULL)],
)
@pytest.mark.parametrize("arguments", [["--help"], ["models", "--json"]])
def test_a_listing_that_can_not_be_written_has_failed(redirections: str, said: str, arguments: list[str]) -> None:
    code, _, err = run(redirections, *arguments)
    assert code == 1
    assert said in err and err.count("\n") == 1


def test_a_failure_is_json_alone_where_errors_are_closed() -> None:
    code, out, err = run("2>&-", "t2i", "fox", "--width", "1", "--json")
    assert (code, err) == (2, "")
    assert json.loads(out)["exit_code"] == 2


def test_a_reader_that_is_gone_before_the_picture_is_told_of_it() -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*FLUX2, *T2I], stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert done.returncode == 0
    assert b"fox.png" in done.stderr


@pytest.mark.parametrize(
    ("redirections", "said"),
    [
        ("<&-", "Standard input can't be read"),
        ("</dev/zero", f"{MAX_PROMPT:,}"),
        ("<latin1", "bytes that are no UTF-8"),
    ],
)
def test_a_prompt_that_can_not_be_read_is_a_sentence(redirections: str, said: str) -> None:
    Path("latin1").write_bytes("ein Füchslein".encode("latin-1"))
    code, _, err = run(redirections, "t2i", "-")
    assert code == 2
    assert said in err and err.count("\n") == 1


def test_streams_that_do_not_wait_are_waited_for() -> None:
    """Streams as a parent in no blocking mode hands them on: the prompt comes late, and nobody reads at first."""
    asks, prompt = os.pipe()
    answer, written = os.pipe()
    for descriptor in (asks, written):
        os.set_blocking(descriptor, False)
    os.write(written, b"x" * 65536)  # a Linux pipe, full
    with subprocess.Popen([*FLUX2, "t2i", "-", "--force", "-o", "fox.png"], stdin=asks, stdout=written) as process:
        os.close(asks)
        os.close(written)
        os.write(prompt, b"a fox\r\nin the snow")
        os.close(prompt)
        with os.fdopen(answer, "rb") as reader:
            assert reader.read().lstrip(b"x") == b"fox.png\n"
    assert process.returncode == 0


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    program = "from flux2 import streams; streams.prepare(); f = open('file', 'w'); print(f.fileno(), file=f)"
    subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program], check=True)
    assert int(Path("file").read_text()) > 2
