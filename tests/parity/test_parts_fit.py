"""Parts of different checkpoints are refused before any work, though each of them is whole."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from recordings import RECORDINGS

from flux2 import Flux2Pipeline
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, NetworkSource, check_fit
from flux2.errors import CheckpointError
from flux2.paths import pocket_checkpoint
from flux2.store.configs import find_networks


def with_part_of(other: str, part: str, folder: Path) -> Path:
    """The checkpoint "distilled" with one part of another one, in `folder`."""
    shutil.copytree(RECORDINGS / "distilled" / "checkpoint", folder)
    shutil.rmtree(folder / part)
    shutil.copytree(RECORDINGS / other / "checkpoint" / part, folder / part)
    return folder


@pytest.mark.parametrize(
    ("part", "complaint"),
    [
        ("text_encoder", r"joint_attention_dim is 192, but the text encoder in \S+/text_encoder has 96"),
        ("vae", r"in_channels is 128, but the autoencoder in \S+/vae has 64"),
    ],
)
def test_a_part_that_does_not_fit_is_refused(part: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        Flux2Pipeline.from_pretrained(with_part_of("odd", part, tmp_path / "mixed"))
    with pytest.raises(CheckpointError, match=complaint):
        find_networks(str(tmp_path / "mixed"))


def test_a_tokenizer_with_more_tokens_than_the_text_encoder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(RECORDINGS / "distilled" / "checkpoint", folder)
    shutil.rmtree(folder / "tokenizer")
    shutil.copytree(pocket_checkpoint() / "tokenizer", folder / "tokenizer")
    pipe = Flux2Pipeline.from_pretrained(folder)
    with pytest.raises(CheckpointError, match=r"the tokenizer gives token \d+, but embeddings are there for 320"):
        pipe("a fluffy orange tabby cat at sunset", height=64, width=64, num_inference_steps=1)


def test_parts_of_two_checkpoints_that_do_fit_are_taken(tmp_path: Path) -> None:
    Flux2Pipeline.from_pretrained(with_part_of("base", "vae", tmp_path / "mixed"))


def test_an_autoencoder_with_another_size_of_token_is_refused() -> None:
    checkpoint = open_checkpoint(RECORDINGS / "distilled" / "checkpoint")
    transformer, vae = (NetworkSource.check(checkpoint, kind) for kind in (TRANSFORMER, VAE_DECODER))
    text_encoder = NetworkSource.check_text_encoder(checkpoint)
    check_fit(transformer, text_encoder, vae)
    shallow = replace(vae, config=replace(vae.config, block_out_channels=vae.config.block_out_channels[:3]))
    with pytest.raises(CheckpointError, match="a token of 8 pixels"):
        check_fit(transformer, text_encoder, shallow)


def test_another_autoencoder_that_does_not_fit_is_not_planned_with() -> None:
    vae = RECORDINGS / "odd" / "checkpoint" / "vae"
    with pytest.raises(CheckpointError, match=r"in_channels is 128, but the autoencoder in \S+/odd/\S+ has 64"):
        find_networks("klein-4b", str(vae))


def test_another_pipeline_is_neither_run_nor_planned(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    shutil.copytree(RECORDINGS / "distilled" / "checkpoint", folder)
    (folder / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    complaints = []
    for act in (Flux2Pipeline.from_pretrained, find_networks):
        with pytest.raises(CheckpointError, match="FluxPipeline") as refused:
            act(str(folder))
        complaints.append(str(refused.value))
    assert complaints[0] == complaints[1]
