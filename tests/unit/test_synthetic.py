"""Synthetic checkpoints: true sizes, no disk, recognised as what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flux2 import Flux2Pipeline
from flux2 import events as ev
from flux2.bench import synthetic
from flux2.bench.synthetic import main, read_marker, write_synthetic
from flux2.checkpoint.layout import open_checkpoint
from flux2.denoise import preview
from flux2.errors import Flux2Error

KLEIN_4B_BYTES = {"transformer": 2 * 3_875_544_576, "vae": 2 * (84_046_115 + 256) + 8}


@pytest.fixture
def real_size(tmp_path: Path) -> Path:
    return write_synthetic("klein-4b", tmp_path / "klein-4b")


def test_has_the_real_bytes_and_takes_no_disk(real_size: Path) -> None:
    checkpoint = open_checkpoint(real_size)
    assert checkpoint.transformer.nbytes == KLEIN_4B_BYTES["transformer"]
    assert checkpoint.vae.nbytes == KLEIN_4B_BYTES["vae"]
    files = [path.stat() for path in real_size.rglob("*") if path.is_file()]
    assert sum(file.st_size for file in files) > 15e9
    assert sum(file.st_blocks * 512 for file in files) < 1e6


def test_shards_what_is_larger_than_a_shard(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(write_synthetic("klein-9b", tmp_path / "klein-9b"))
    assert checkpoint.transformer.nbytes == 2 * 9_078_581_248
    assert len(checkpoint.transformer.files) == 2
    assert all(path.stat().st_size < synthetic.MAX_SHARD + 1e6 for path in checkpoint.transformer.files)


def test_tokenizer_pads_as_the_real_ones_do(tmp_path: Path) -> None:
    folder = write_synthetic("klein-4b", tmp_path / "small", divisor=32)
    config = json.loads((folder / "tokenizer" / "tokenizer_config.json").read_text())
    assert config["model_max_length"] == 512


def test_is_the_same_every_time_and_recognised(tmp_path: Path) -> None:
    first, second = (write_synthetic("dev", tmp_path / name, divisor=32) for name in ("one", "two"))
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)
    assert read_marker(first) == {"model": "dev", "divisor": 32}
    assert read_marker(tmp_path) is None


def test_one_that_is_there_is_left_alone(real_size: Path) -> None:
    index = real_size / "model_index.json"
    before = index.stat().st_mtime_ns
    assert write_synthetic("klein-4b", real_size) == real_size
    assert index.stat().st_mtime_ns == before


def test_refuses_a_folder_with_something_else_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep me")
    with pytest.raises(Flux2Error, match="is there already"):
        write_synthetic("klein-4b", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_leaves_nothing_behind_where_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(synthetic, "_write_tokenizer", full_disk)
    with pytest.raises(Flux2Error, match="No space left"):
        write_synthetic("klein-4b", tmp_path / "new", divisor=32)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("model", "divisor"), [("klein-5b", 1), ("dev", 0)])
def test_refuses_nonsense(tmp_path: Path, model: str, divisor: int) -> None:
    with pytest.raises(Flux2Error):
        write_synthetic(model, tmp_path / "new", divisor)
    assert list(tmp_path.iterdir()) == []


def test_command_says_what_it_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["klein-4b", str(tmp_path / "new")]) == 0
    assert "14.9 GiB, of which" in capsys.readouterr().out
    assert main(["klein-9b", str(tmp_path / "new")]) == 1
    assert "name another folder" in capsys.readouterr().err


@pytest.mark.parametrize("quantization", ["bf16", "int4"])
def test_a_run_over_zeros_is_finite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quantization: str) -> None:
    """The pipeline refuses latents and pictures that are not; previews are fitted to latents that are all the same."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(preview, "_PICTURES", 2)  # to be quick
    folder = write_synthetic("klein-4b", tmp_path / "small", divisor=32)
    previews: list[ev.Preview] = []

    def on_event(event: ev.Event) -> None:
        if isinstance(event, ev.Preview):
            previews.append(event)

    pipe = Flux2Pipeline.from_pretrained(folder, quantization=quantization)
    made = pipe("a fox", width=64, height=64, num_inference_steps=1, max_sequence_length=16, on_event=on_event)
    assert made.images[0].size == (64, 64)
    assert len(previews) == 1
