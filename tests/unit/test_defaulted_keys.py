"""Keys that a config leaves out: engine and plan take the same defaults, the references', or refuse alike."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.published import ARCHITECTURES, scaled_down
from flux2.architecture.text_encoder import TEXT_ENCODERS
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.bench.synthetic import write_synthetic
from flux2.checkpoint.layout import Checkpoint, open_checkpoint
from flux2.checkpoint.networks import TRANSFORMER, VAE_DECODER, NetworkSource
from flux2.errors import CheckpointError
from flux2.planning.planner import plan
from flux2.planning.run_facts import RunFacts
from flux2.store.configs import find_networks

DIVISOR = 16
SMALL = {name: scaled_down(ARCHITECTURES[name], DIVISOR) for name in ("klein-4b", "dev")}
READERS: dict[str, Callable[[Mapping[str, Any], str], Any]] = {
    "transformer": Flux2TransformerConfig.from_dict,
    "text_encoder": TEXT_ENCODERS["Qwen3ForCausalLM"].read_config,
    "vae": AutoencoderConfig.from_dict,
}
SOURCES: dict[str, Callable[[Checkpoint], NetworkSource]] = {
    "transformer": partial(NetworkSource.check, kind=TRANSFORMER),
    "text_encoder": NetworkSource.check_text_encoder,
    "vae": partial(NetworkSource.check, kind=VAE_DECODER),
}
KEYS = [(part, key) for part in READERS for key in getattr(SMALL["klein-4b"], part)]
NEW_NETWORK = {"guidance_embeds", "block_out_channels"}
"""Keys whose defaults make another network than this small one."""


def without(values: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in values.items() if name != key}


def complaint_of(act: Callable[[], object]) -> str | None:
    try:
        act()
    except CheckpointError as error:
        return str(error)
    return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FLUX2_HOME", str(tmp_path_factory.mktemp("home")))
        yield write_synthetic("klein-4b", tmp_path_factory.mktemp("model") / "small", DIVISOR)


@pytest.mark.parametrize(("part", "key"), KEYS)
def test_engine_and_plan_take_the_same_configs(folder: Path, part: str, key: str) -> None:
    config = folder / part / "config.json"
    whole = config.read_text()
    planned = plan(find_networks(str(folder)), RunFacts())
    config.write_text(json.dumps(without(json.loads(whole), key)))
    try:
        of_the_engine = complaint_of(lambda: SOURCES[part](open_checkpoint(folder)))
        of_the_plan = complaint_of(lambda: plan(find_networks(str(folder)), RunFacts()))
        if key in NEW_NETWORK:
            assert of_the_plan is None
            assert of_the_engine and "config.json" not in of_the_engine  # its tensors are others
            return
        assert of_the_plan == of_the_engine
        assert of_the_plan or plan(find_networks(str(folder)), RunFacts()) == planned
        assert of_the_plan is None or f"{config}" in of_the_plan
    finally:
        config.write_text(whole)


def assert_defaults(
    read: Callable[[Mapping[str, Any]], Any], values: Mapping[str, Any], default: Callable[[str], Any]
) -> None:
    """Each key that may be left out counts as the reference's default."""
    taken = []
    for key in values:
        if complaint_of(partial(read, without(values, key))) is None:
            taken.append(key)
            assert read(without(values, key)) == read({**values, key: default(key)}), key
    assert len(taken) > 3


@pytest.mark.parametrize(("part", "name"), [("transformer", "Flux2Transformer2DModel"), ("vae", "AutoencoderKLFlux2")])
def test_defaults_are_those_of_diffusers(part: str, name: str) -> None:
    diffusers = pytest.importorskip("diffusers")
    defaults = inspect.signature(getattr(diffusers, name).__init__).parameters

    def default(key: str) -> Any:
        value = defaults[key].default
        return list(value) if isinstance(value, tuple) else value

    read = partial(READERS[part], file="")
    assert_defaults(read, getattr(ARCHITECTURES["klein-4b"], part), default)


def test_defaults_are_those_of_transformers() -> None:
    transformers = pytest.importorskip("transformers")
    qwen3 = ARCHITECTURES["klein-4b"].text_encoder
    assert_defaults(
        TEXT_ENCODERS["Qwen3ForCausalLM"].read_config,
        qwen3,
        lambda key: getattr(transformers.Qwen3Config(**without(qwen3, key)), key),
    )
    mistral3 = ARCHITECTURES["dev"].text_encoder
    text = mistral3["text_config"]

    def read(values: Mapping[str, Any]) -> Any:
        return TEXT_ENCODERS["Mistral3ForConditionalGeneration"].read_config({**mistral3, "text_config": dict(values)})

    checked = without(text, "sliding_window")  # its default, 4096, is more than the 512 tokens that there are
    assert_defaults(read, checked, lambda key: getattr(transformers.MistralConfig(**without(text, key)), key))
