"""The known models: complete, consistent, and found by name and by repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux2.architecture.catalog import MODELS, ModelCard, find_card, label
from flux2.paths import pocket_checkpoint
from flux2.request import GenerationRequest
from flux2.store.local import default_model, find_local


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty Hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("card", MODELS.values(), ids=MODELS)
def test_cards_ask_for_what_can_be_made(card: ModelCard) -> None:
    assert card.size in card.sizes
    for width, height in card.sizes:
        GenerationRequest(
            prompt="fox", model=card.name, width=width, height=height, steps=card.steps, guidance=card.guidance
        ).validated()
    assert card.licence and card.title and card.parameters > 0
    assert card.gated == card.licence.startswith("FLUX")


def test_cards_are_found_by_name_and_repository() -> None:
    assert find_card("klein-4b") is MODELS["klein-4b"]
    assert find_card("Black-Forest-Labs/flux.2-klein-4b") is MODELS["klein-4b"]
    assert find_card("someone/else") is None
    assert find_card("") is None
    assert [card.name for card in MODELS.values() if not card.repo] == ["pocket"]


@pytest.mark.parametrize(
    ("model", "shown"),
    [("dev", "dev"), ("black-forest-labs/FLUX.2-dev", "dev"), ("/models/mine", "mine"), ("org/theirs", "theirs")],
)
def test_labels(model: str, shown: str) -> None:
    assert label(model) == shown


def _snapshot(hub: Path, repo: str, revision: str) -> Path:
    folder = hub / f"models--{repo.replace('/', '--')}" / "snapshots" / revision
    folder.mkdir(parents=True)
    (folder / "model_index.json").write_text("{}")
    return folder


def test_where_models_lie(hub: Path, tmp_path: Path) -> None:
    assert find_local("pocket") == pocket_checkpoint()
    for absent in ("klein-4b", "some/repo", "", "~nobody-of-that-name/model", "x" * 5000, "nul\0"):
        assert find_local(absent) is None
    assert find_local(str(tmp_path)) == tmp_path
    older = _snapshot(hub, "some/repo", "aaa")
    newer = _snapshot(hub, "some/repo", "bbb")
    assert find_local("some/repo") in (older, newer)
    refs = hub / "models--some--repo" / "refs"
    refs.mkdir()
    for revision, folder in (("aaa", older), ("bbb", newer)):
        (refs / "main").write_text(revision)
        assert find_local("some/repo") == folder
    (newer / "model_index.json").unlink()
    assert find_local("some/repo") == older, "the snapshot of refs/main is not there"


def test_the_default_is_what_was_downloaded_else_the_embedded_one(hub: Path) -> None:
    assert default_model() == "pocket"
    _snapshot(hub, MODELS["klein-4b"].repo, "abc")
    assert default_model() == "pocket", "an interrupted download"
    for name in ("klein-base-4b", "klein-9b"):
        snapshots = hub / f"models--{MODELS[name].repo.replace('/', '--')}" / "snapshots"
        snapshots.mkdir(parents=True)
        (snapshots / "abc").symlink_to(pocket_checkpoint())  # complete, whatever its sizes
        assert default_model() == name
