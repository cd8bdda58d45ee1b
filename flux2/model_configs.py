"""The config files of a model, found without MLX: in its folder or, where it was not downloaded, as they are known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from flux2.architecture.catalog import MODELS, find_card
from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.published import ARCHITECTURES
from flux2.checkpoint.files import TOKENIZER, read_length
from flux2.checkpoint.json_file import read_json
from flux2.checkpoint.local import find_local, find_local_vae
from flux2.errors import RequestError
from flux2.paths import quantized_folder
from flux2.request import QUANTIZATIONS

Guidance = Literal["distilled", "embedded", "classifier-free"]
"""What a guidance scale does: nothing, for its effect is in the weights; it is an input of the network; it weighs two
passes per step against each other, with the prompt and with the negative one."""
DEFAULTS: dict[Guidance, tuple[int, float]] = {
    "distilled": (4, 1.0),
    "embedded": (28, 4.0),
    "classifier-free": (50, 4.0),
}
"""Steps and guidance scale where nobody says otherwise (the model cards' recommendations)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """The config files of a model."""

    transformer: dict[str, Any]
    text_encoder: dict[str, Any]
    vae: dict[str, Any]
    guidance: Guidance
    text_tokens: int = MAX_TEXT_TOKENS
    """That it was trained with."""
    prepared: frozenset[str] = frozenset()
    """The levels that `flux2 quantize` has made files of."""


def find_networks(model: str, vae: str | None = None) -> Networks:
    """The config files of a model on this machine, or of one of the catalog that was not downloaded.

    Args:
        vae: another autoencoder, as in a request; one that is not on this machine is taken for the model's own.

    Raises:
        RequestError: if it is neither.
        CheckpointError: if a config file can't be read.
    """
    networks = _find_networks(model)
    folder = find_local_vae(vae) if vae else None
    return replace(networks, vae=read_json(folder / "config.json")) if folder else networks


def prepared_levels(folder: Path) -> frozenset[str]:
    """The levels that `flux2 quantize` was run for, of a checkpoint in this folder; the files are not looked into."""
    return frozenset(level for level in QUANTIZATIONS if quantized_folder(folder / "transformer", level).exists())


def guidance_of(index: Mapping[str, Any]) -> Guidance:
    """As the pipeline that model_index.json names has it."""
    if index.get("_class_name") == "Flux2Pipeline":
        return "embedded"
    return "distilled" if index.get("is_distilled") else "classifier-free"


def sample_size(vae: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the pictures that an autoencoder was made for, from its config; pixels."""
    side = vae.get("sample_size", 1024)
    return (side, side) if isinstance(side, int) else (1024, 1024)


def _find_networks(model: str) -> Networks:
    if folder := find_local(model):
        return _read_networks(folder)
    card = find_card(model)
    if card is None or card.name not in ARCHITECTURES:
        raise RequestError(f"Nothing is known of {model!r} here; choose one of {', '.join(MODELS)}, or a folder.")
    known = ARCHITECTURES[card.name]
    return Networks(
        transformer=known.transformer,
        text_encoder=known.text_encoder,
        vae=known.vae,
        guidance=guidance_of(known.index),
    )


def _read_networks(folder: Path) -> Networks:
    index = read_json(folder / "model_index.json")
    transformer = read_json(folder / "transformer" / "config.json")
    tokenizer = folder / TOKENIZER / "tokenizer_config.json"
    trained_with = read_length(tokenizer, read_json(tokenizer).get("model_max_length"))
    return Networks(
        transformer=transformer,
        text_encoder=read_json(folder / "text_encoder" / "config.json"),
        vae=read_json(folder / "vae" / "config.json"),
        guidance=guidance_of(index),
        text_tokens=min(MAX_TEXT_TOKENS, trained_with),
        prepared=prepared_levels(folder),
    )
