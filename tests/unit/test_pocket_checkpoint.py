"""The embedded checkpoint as files: small, in the usual layout, quantizable, and silent about where it was made."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

import flux2.pocket

POCKET = Path(flux2.pocket.__file__).parent
CHECKPOINT = POCKET / "checkpoint"
TRAINING = POCKET / "training"
MIB = 2**20


def tensors(folder: Path) -> Iterator[tuple[str, str, list[int]]]:
    """Name, dtype and shape of every tensor in a folder, from the headers."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        for name, about in header.items():
            if name != "__metadata__":
                yield name, about["dtype"], about["shape"]


def test_it_is_small_enough_to_be_embedded() -> None:
    sizes = [path.stat().st_size for path in CHECKPOINT.rglob("*") if path.is_file()]
    assert max(sizes) <= 16 * MIB
    assert sum(sizes) <= 32 * MIB
    assert (TRAINING / "judge.safetensors").stat().st_size <= MIB
    assert (TRAINING / "samples.jpg").stat().st_size <= 400 * 1024


def test_it_has_every_part_of_the_diffusers_layout() -> None:
    index = json.loads((CHECKPOINT / "model_index.json").read_text())
    assert index["_class_name"] == "Flux2KleinPipeline"
    assert index["is_distilled"] is True
    for part in ("scheduler", "text_encoder", "tokenizer", "transformer", "vae"):
        assert part in index
        assert list((CHECKPOINT / part).glob("*.json"))


def test_the_shards_hold_what_the_index_says() -> None:
    index = json.loads((CHECKPOINT / "transformer/diffusion_pytorch_model.safetensors.index.json").read_text())
    assert {name for name, _, _ in tensors(CHECKPOINT / "transformer")} == set(index["weight_map"])
    assert len(set(index["weight_map"].values())) > 1


def test_the_number_of_tokens_it_was_trained_with_is_recorded() -> None:
    config = json.loads((CHECKPOINT / "tokenizer/tokenizer_config.json").read_text())
    assert config["model_max_length"] == 64


@pytest.mark.parametrize("part", ["transformer", "text_encoder"])
def test_the_inputs_of_every_linear_are_multiples_of_64(part: str) -> None:
    matrices = [(name, shape) for name, _, shape in tensors(CHECKPOINT / part) if len(shape) == 2]
    assert len(matrices) > 30
    assert not [(name, shape) for name, shape in matrices if shape[1] % 64]


def test_the_weights_are_bfloat16() -> None:
    for part in ("transformer", "text_encoder"):
        assert {dtype for _, dtype, _ in tensors(CHECKPOINT / part)} == {"BF16"}


def test_no_file_tells_where_it_was_made() -> None:
    for path in CHECKPOINT.rglob("*.json"):
        text = path.read_text()
        assert "_name_or_path" not in text
        assert "/tmp/" not in text


def test_scores_reach_what_was_asked_for() -> None:
    """The committed report: at least 200 captions that were never trained on, at every quantization it names."""
    scores = json.loads((TRAINING / "scores.json").read_text())
    assert scores
    for run in scores.values():
        assert run["captions"] >= 200
        assert run["subject"] >= 0.97
        assert run["place"] >= 0.99
        assert run["time"] >= 0.99
        assert run["colour"] >= 0.95
