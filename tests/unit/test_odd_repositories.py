"""Hub repositories that are not as the catalog's: variants, other formats, parts; and one that is half in the cache."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flux2.checkpoint.files import NEEDED_FILES, VAE_FILES
from flux2.checkpoint.layout import open_checkpoint
from flux2.checkpoint.manifest import storage
from flux2.errors import CheckpointError
from flux2.store import process
from flux2.store.local import find_local, is_ready
from flux2.store.source import find_checkpoint, repo_to_download
from tests.hub_server import COMMIT, WEIGHTS, Hub, klein_hub

REPO = "me/klein"
STEM = "diffusion_pytorch_model"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with klein_hub(tmp_path, monkeypatch) as hub:
        hub.repo = REPO
        yield hub


def fetch_all(capsys: pytest.CaptureFixture[str], patterns: tuple[str, ...] = NEEDED_FILES) -> dict[str, object]:
    capsys.readouterr()
    process.run(REPO, patterns)
    said: dict[str, object] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return said


def rename(hub: Hub, old: str, new: str, *, keep: bool = False) -> None:
    hub.files[new] = hub.files[old] if keep else hub.files.pop(old)


def test_of_both_a_plain_file_and_a_variant_one_is_fetched(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    for part, stem in (("transformer", STEM), ("vae", STEM), ("text_encoder", "model")):
        rename(hub, f"{part}/{stem}.safetensors", f"{part}/{stem}.fp16.safetensors", keep=True)
    wanted = sum(len(data) for path, data in hub.files.items() if "/" in path and "fp16" not in path)
    assert "folder" in fetch_all(capsys)
    assert not any("fp16" in path for path in hub.sent)
    assert sum(hub.sent.values()) == wanted + len(hub.files["model_index.json"])
    assert (folder := find_local(REPO)) and is_ready(folder)


def test_where_there_are_variants_only_they_are_fetched_and_read(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    for part, stem in (("transformer", STEM), ("vae", STEM), ("text_encoder", "model")):
        rename(hub, f"{part}/{stem}.safetensors", f"{part}/{stem}.bf16.safetensors")
    assert "folder" in fetch_all(capsys)
    folder = find_local(REPO)
    assert folder and is_ready(folder) and repo_to_download(REPO) == ""
    assert open_checkpoint(folder).transformer.files[0].name == f"{STEM}.bf16.safetensors"


REFUSED: dict[str, tuple[Callable[[Hub], object], str]] = {
    "variant that is not read": (
        lambda hub: rename(hub, f"transformer/{STEM}.safetensors", f"transformer/{STEM}.nf4.safetensors"),
        f"in transformer/ there is {STEM}.nf4.safetensors, a variant that is not read here",
    ),
    "PyTorch's": (
        lambda hub: rename(hub, WEIGHTS, "text_encoder/pytorch_model.bin"),
        "in text_encoder/ there is pytorch_model.bin in PyTorch's older format",
    ),
    "no weights": (lambda hub: hub.files.pop(WEIGHTS), "in text_encoder/ there is no file of its weights"),
    "shards in part": (
        lambda hub: rename(hub, f"vae/{STEM}.safetensors", f"vae/{STEM}-00001-of-00002.safetensors"),
        "there is only 1 of 2 shards",
    ),
    "no tokenizer": (
        lambda hub: rename(hub, "tokenizer/tokenizer.json", "tokenizer/tekken.json"),
        "has no tokenizer/tokenizer.json",
    ),
    "no part": (lambda hub: hub.files.pop("vae/config.json"), "has no vae/config.json: it is not a whole checkpoint"),
    "single files": (lambda hub: hub.files.pop("model_index.json"), "has no model_index.json: it is no checkpoint"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_read_is_refused_before_a_byte_came(
    hub: Hub, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    change, sentence = REFUSED[case]
    change(hub)
    assert sentence in str(fetch_all(capsys)["error"])
    assert sum(hub.sent.values()) == 0


def test_a_transformer_in_another_format_does_not_matter_to_an_autoencoder(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    rename(hub, f"transformer/{STEM}.safetensors", f"transformer/{STEM}.bin")
    rename(hub, f"vae/{STEM}.safetensors", f"vae/{STEM}.fp16.safetensors", keep=True)
    assert "folder" in fetch_all(capsys, VAE_FILES)
    assert set(hub.sent) == {"vae/config.json", f"vae/{STEM}.safetensors"}


@pytest.mark.parametrize("here", [(), ("vae/config.json", f"vae/{STEM}.safetensors")])
def test_an_unlisted_repository_that_is_half_here_is_completed(hub: Hub, here: tuple[str, ...]) -> None:
    snapshot = storage(REPO) / "snapshots" / COMMIT
    for path in ("model_index.json", *here):
        (snapshot / path).parent.mkdir(parents=True, exist_ok=True)
        (snapshot / path).write_bytes(hub.files[path])
    assert repo_to_download(REPO) == REPO, "model_index.json alone does not mean that it is here"
    with pytest.raises(CheckpointError, match=f"`flux2 models download {REPO}` completes it"):
        open_checkpoint(snapshot)
    assert find_checkpoint(REPO) == snapshot
    open_checkpoint(snapshot)
    assert repo_to_download(REPO) == ""


def test_a_file_that_the_repository_has_not_is_not_to_be_downloaded(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "folder" in fetch_all(capsys)
    folder = find_local(REPO)
    assert folder
    (folder / "tokenizer/chat_template.jinja").unlink()
    with pytest.raises(CheckpointError, match=f"`flux2 models download {REPO}` completes it"):
        open_checkpoint(folder)
    del hub.files["tokenizer/chat_template.jinja"]
    shutil.rmtree(storage(REPO))
    assert "folder" in fetch_all(capsys)
    with pytest.raises(CheckpointError, match=f"{REPO} has none: choose another model"):
        open_checkpoint(folder)


@pytest.mark.usefixtures("hub")
def test_a_folder_of_the_hub_cache_is_opened_at_its_snapshot(capsys: pytest.CaptureFixture[str]) -> None:
    assert "folder" in fetch_all(capsys)
    assert find_local(str(storage(REPO))) == storage(REPO) / "snapshots" / COMMIT
    assert find_checkpoint(str(storage(REPO))) == storage(REPO) / "snapshots" / COMMIT


def test_what_the_repository_has_damaged_is_not_to_be_downloaded_again(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.files["vae/config.json"] = b"{"
    assert "folder" in fetch_all(capsys)
    folder = find_local(REPO)
    assert folder
    with pytest.raises(
        CheckpointError, match=f"is not valid JSON .*; {REPO} has it so on the Hub: choose another model"
    ):
        open_checkpoint(folder)
    (folder / "vae/config.json").unlink()
    (folder / "vae/config.json").write_text("}")
    with pytest.raises(CheckpointError, match=f"`flux2 models download {REPO}` brings it again"):
        open_checkpoint(folder)
    hub.files["model_index.json"] = b"["
    assert f"The model_index.json of {REPO} is no JSON object" in str(fetch_all(capsys)["error"])
