"""What a folder must hold to be a checkpoint, and the sentence for each thing that is missing or wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flux2.checkpoint.files import missing_file
from flux2.checkpoint.layout import open_checkpoint
from flux2.errors import CheckpointError, RequestError
from flux2.paths import pocket_checkpoint
from flux2.store.source import find_checkpoint
from tests.unit.checkpoints import edit_json, writable_copy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return writable_copy(pocket_checkpoint(), tmp_path / "copy")


def test_the_embedded_checkpoint_is_whole() -> None:
    checkpoint = open_checkpoint(pocket_checkpoint())
    assert checkpoint.guidance == "distilled"
    assert missing_file(pocket_checkpoint()) is None
    assert all(path.stat().st_size <= 16 * 2**20 for path in checkpoint.transformer.files)
    assert checkpoint.transformer.nbytes == sum(info.nbytes for info in checkpoint.transformer.tensors.values())


def test_a_base_model_is_known_by_its_index(folder: Path) -> None:
    edit_json(folder / "model_index.json", is_distilled=None)
    assert open_checkpoint(folder).guidance == "classifier-free"


def _shard(folder: Path) -> Path:
    return sorted((folder / "transformer").glob("*.safetensors"))[-1]


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[:-1])


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "no index": (lambda f: (f / "model_index.json").unlink(), r"model_index\.json is missing"),
    "index no JSON": (lambda f: (f / "model_index.json").write_text("{"), r"model_index\.json is not valid JSON"),
    "index a list": (lambda f: (f / "model_index.json").write_text("[]"), "is not a JSON object"),
    "other pipeline": (
        lambda f: edit_json(f / "model_index.json", _class_name="FluxPipeline"),
        r"model_index\.json says 'FluxPipeline', an architecture unknown",
    ),
    "other transformer": (
        lambda f: edit_json(f / "transformer/config.json", _class_name="SD3Transformer2DModel"),
        r"transformer/config\.json says 'SD3Transformer2DModel'",
    ),
    "other text encoder": (
        lambda f: edit_json(f / "text_encoder/config.json", architectures=["T5EncoderModel"]),
        r"text_encoder/config\.json says 'T5EncoderModel'",
    ),
    "nameless text encoder": (lambda f: edit_json(f / "text_encoder/config.json", architectures=[]), "says"),
    "other scheduler": (
        lambda f: edit_json(f / "scheduler/scheduler_config.json", _class_name="DDIMScheduler"),
        r"scheduler_config\.json says 'DDIMScheduler'",
    ),
    "no config": (lambda f: (f / "vae/config.json").unlink(), r"vae/config\.json is missing"),
    "no tokenizer": (lambda f: (f / "tokenizer").rename(f / "t"), "tokenizer is missing"),
    "no shard": (lambda f: _shard(f).unlink(), r"diffusion_pytorch_model-\S+\.safetensors is missing"),
    "no single file": (
        lambda f: (f / "text_encoder/model.safetensors").unlink(),
        r"text_encoder/model\.safetensors is missing",
    ),
    "truncated": (lambda f: _cut(_shard(f)), "is cut short"),
    "index without map": (
        lambda f: edit_json(f / "transformer/diffusion_pytorch_model.safetensors.index.json", weight_map=None),
        "has no weight_map",
    ),
    "index that points outside": (
        lambda f: edit_json(
            f / "transformer/diffusion_pytorch_model.safetensors.index.json", weight_map={"x": "../x.safetensors"}
        ),
        "points outside its folder",
    ),
    "index that lies": (
        lambda f: edit_json(
            f / "transformer/diffusion_pytorch_model.safetensors.index.json", weight_map={"x": _shard(f).name}
        ),
        "lacks tensor x, which diffusion_pytorch_model.safetensors.index.json places there",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_says_what_is_wrong_with_a_folder(folder: Path, case: str) -> None:
    break_it, sentence = BROKEN[case]
    break_it(folder)
    with pytest.raises(CheckpointError, match=sentence) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value)
    assert str(caught.value)[-1] in ".?"


@pytest.mark.parametrize("name", ["no index", "no config", "no shard", "no single file", "no tokenizer"])
def test_an_interrupted_download_is_noticed(folder: Path, name: str) -> None:
    BROKEN[name][0](folder)
    assert missing_file(folder) is not None


def test_unknown_names_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no model or folder 'klein-5b'; did you mean klein-4b"):
        find_checkpoint("klein-5b")
    with pytest.raises(RequestError, match="no model or folder 'something'; choose pocket, klein-4b"):
        find_checkpoint("something")
    with pytest.raises(CheckpointError, match="is not a folder"):
        open_checkpoint(tmp_path / "nowhere")


def test_a_folder_is_taken_as_it_is(folder: Path) -> None:
    assert find_checkpoint(str(folder)) == folder


def test_index_json_is_an_object_of_strings(folder: Path) -> None:
    index = folder / "transformer/diffusion_pytorch_model.safetensors.index.json"
    names = json.loads(index.read_text())["weight_map"]
    edit_json(index, weight_map=dict.fromkeys(names, 3))
    with pytest.raises(CheckpointError, match="points outside its folder, to 3"):
        open_checkpoint(folder)
