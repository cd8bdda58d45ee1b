"""A model's name is looked up once in a run, and its configs are read once, however many need them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flux2.architecture import catalog
from flux2.checkpoint import json_file
from flux2.generate import Generator
from flux2.request import GenerationRequest
from flux2.store import local, source
from flux2.store.configs import find_networks
from flux2.store.resolved import resolve_model

LOOK_UPS: dict[str, Callable[..., Any]] = {
    "find_card": catalog.find_card,
    "find_local": local.find_local,
    "find_checkpoint": source.find_checkpoint,
    "read_json": json_file.read_json,
}
CONFIGS = ("checkpoint/model_index.json", "transformer/config.json", "text_encoder/config.json", "vae/config.json")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[tuple[str, str]]:
    """How often each function was asked, by its first argument, whoever imported it."""
    counted: Counter[tuple[str, str]] = Counter()

    def counting(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def count(*args: Any, **kwargs: Any) -> Any:
            counted[name, "/".join(Path(args[0]).parts[-2:])] += 1
            return function(*args, **kwargs)

        return count

    for name, function in LOOK_UPS.items():
        replacement = counting(name, function)
        for module in [module for key, module in sys.modules.items() if key.startswith("flux2.")]:
            if getattr(module, name, None) is function:
                monkeypatch.setattr(module, name, replacement)
    return counted


def test_a_run_looks_its_model_up_once_and_the_next_run_not_at_all(
    asked: Counter[tuple[str, str]], tmp_path: Path
) -> None:
    size = {"width": 64, "height": 64, "steps": 1}
    request = GenerationRequest(prompt="a red fox", seed=1, output=str(tmp_path / "a.png"), **size)
    generator = Generator()
    generator.generate(request)
    assert (asked["find_checkpoint", "pocket"], asked["find_local", "pocket"]) == (1, 1)
    assert {config: asked["read_json", config] for config in CONFIGS} == dict.fromkeys(CONFIGS, 1)
    first = Counter(asked)
    generator.generate(request)
    again = asked - first
    assert {name for name, _ in again} <= {"find_card", "read_json"}  # the card's names are a table in memory
    assert not {config for config in CONFIGS if again["read_json", config]}


@pytest.mark.parametrize("vae", [None, "pocket"])
def test_what_was_resolved_is_planned_as_its_folder_is(vae: str | None) -> None:
    assert resolve_model("pocket", vae).networks() == find_networks("pocket", vae)
