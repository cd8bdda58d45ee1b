"""Another autoencoder in place of a checkpoint's own: where it is looked for, and what is made of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flux2 import Flux2Pipeline
from flux2.checkpoint.files import VAE_FILES
from flux2.errors import CheckpointError, RequestError
from flux2.generate import Generator
from flux2.paths import pocket_checkpoint
from flux2.request import GenerationRequest
from flux2.store.source import find_vae

RECORDINGS = Path(__file__).parents[1] / "parity" / "recordings"
DISTILLED, BASE, ODD = (RECORDINGS / name / "checkpoint" for name in ("distilled", "base", "odd"))


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache, and a home."""
    monkeypatch.setenv("FLUX2_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("flux2.checkpoint.manifest.models_dir", lambda: tmp_path / "hub")
    return tmp_path / "hub"


def snapshot(hub: Path, repo: str) -> Path:
    return hub / f"models--{repo.replace('/', '--')}" / "snapshots" / "abc"


def test_it_is_found_by_itself_and_in_a_checkpoint(hub: Path) -> None:
    assert find_vae(str(BASE / "vae")) == BASE / "vae"
    assert find_vae(str(BASE)) == BASE / "vae"
    assert find_vae("pocket") == pocket_checkpoint() / "vae"
    shutil.copytree(BASE / "vae", alone := snapshot(hub, "some/decoder"))
    shutil.copytree(BASE, whole := snapshot(hub, "some/model"))
    assert find_vae("some/decoder") == alone
    assert find_vae("some/model") == whole / "vae"


def test_a_repository_is_downloaded_where_it_is_not_here_or_not_all_of_it(
    hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def download(repo: str, *_: object, patterns: tuple[str, ...], **__: object) -> Path:
        asked.append((repo, patterns))
        return Path(shutil.copytree(BASE / "vae", snapshot(hub, repo), dirs_exist_ok=True))

    monkeypatch.setattr("flux2.store.download.download", download)
    assert find_vae("some/decoder") == snapshot(hub, "some/decoder")
    (snapshot(hub, "some/decoder") / "diffusion_pytorch_model.safetensors").unlink()
    find_vae("some/decoder")
    find_vae("some/decoder")
    assert asked == [("some/decoder", VAE_FILES)] * 2
    monkeypatch.setattr("flux2.store.download.download", lambda *_, **__: hub)
    with pytest.raises(CheckpointError, match=r"some/text has no autoencoder: neither config\.json nor vae/config"):
        find_vae("some/text")


@pytest.mark.parametrize("name", ["nowhere", str(BASE / "tokenizer"), "~/no/such/folder"])
def test_what_is_no_autoencoder_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match=r"no autoencoder in .*name a folder with its config\.json, or a repository"):
        find_vae(name)


def test_one_for_other_latents_is_refused_by_name() -> None:
    with pytest.raises(CheckpointError, match=r"in_channels is 128, but the autoencoder in \S+/odd/\S+ has 64"):
        Flux2Pipeline.from_pretrained(DISTILLED, vae=ODD)


def test_a_request_is_drawn_with_the_autoencoder_it_names(tmp_path: Path) -> None:
    generator = Generator("float32")

    def draw(vae: Path | None) -> np.ndarray:
        request = GenerationRequest(
            prompt="a fox",
            model=str(DISTILLED),
            vae=str(vae) if vae else None,
            width=64,
            height=64,
            steps=1,
            seed=1,
            output=str(tmp_path / "pictures") + "/",
        )
        return np.asarray(Image.open(generator.generate(request).path))

    own, other, own_again = draw(None), draw(BASE), draw(None)
    np.testing.assert_array_equal(own, own_again)
    assert (own != other).any()
