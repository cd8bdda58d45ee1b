"""The config files of a model, found without MLX: in its folder or, where it was not downloaded, as they are known."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from flux2.architecture.autoencoder import AutoencoderConfig
from flux2.architecture.catalog import find_card
from flux2.architecture.guidance import Guidance, guidance_of
from flux2.architecture.language_model import LanguageModelConfig
from flux2.architecture.limits import MAX_TEXT_TOKENS
from flux2.architecture.parts_fit import check_parts_fit
from flux2.architecture.published import ARCHITECTURES
from flux2.architecture.text_encoder import find_text_encoder
from flux2.architecture.transformer import Flux2TransformerConfig
from flux2.checkpoint.files import TOKENIZER, read_index, read_length
from flux2.checkpoint.json_file import read_json
from flux2.errors import CheckpointError, RequestError
from flux2.paths import quantized_folder
from flux2.request import QUANTIZATIONS
from flux2.store.local import find_local, find_local_vae
from flux2.store.source import repo_to_download


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What a model's config files say."""

    transformer: Flux2TransformerConfig
    text_encoder: LanguageModelConfig
    vae: AutoencoderConfig
    guidance: Guidance
    text_tokens: int = MAX_TEXT_TOKENS
    """Text tokens that it was trained with."""
    prepared: frozenset[str] = frozenset()
    """The levels that `flux2 quantize` has made files of."""


def find_networks(model: str, vae: str | None = None) -> Networks:
    """The config files of a model on this machine, or of one of the catalog that was not downloaded.

    Args:
        vae: another autoencoder, as in a request; one that is not on this machine is taken for the model's own.

    Raises:
        RequestError: if it is neither.
        CheckpointError: if a config file can't be read or describes no network that runs here, or parts do not fit.
    """
    networks, other = _find_networks(model), find_local_vae(vae) if vae else None
    folder = find_local(model) or Path(model)
    folders = {part: folder / part for part in ("transformer", "text_encoder", "vae")}
    if other:
        networks, folders["vae"] = replace(networks, vae=_read_autoencoder(other)), other
    check_parts_fit(networks.transformer, networks.text_encoder, networks.vae, folders)
    return networks


def prepared_levels(folder: Path) -> frozenset[str]:
    """The levels that `flux2 quantize` was run for, of a checkpoint in this folder; the files are not looked into."""
    return frozenset(level for level in QUANTIZATIONS if quantized_folder(folder / "transformer", level).exists())


def _find_networks(model: str) -> Networks:
    folder = find_local(model)
    try:
        if folder:
            return _read_networks(folder)
    except CheckpointError:
        if not repo_to_download(model):  # else its download was broken off, and a run completes it
            raise
    card = find_card(model)
    if card is None or card.name not in ARCHITECTURES:
        repo = repo_to_download(model)
        raise RequestError(
            f"Not all of {repo} is here; `flux2 models download {repo}` brings it, and it can be planned."
        )
    known = ARCHITECTURES[card.name]
    return Networks(
        transformer=Flux2TransformerConfig.from_dict(known.transformer),
        text_encoder=find_text_encoder(known.text_encoder).read_config(known.text_encoder),
        vae=AutoencoderConfig.from_dict(known.vae),
        guidance=guidance_of(known.index),
    )


def _read_networks(folder: Path) -> Networks:
    index = read_index(folder)
    transformer = folder / "transformer" / "config.json"
    tokenizer = folder / TOKENIZER / "tokenizer_config.json"
    trained_with = read_length(tokenizer, read_json(tokenizer).get("model_max_length"))
    return Networks(
        transformer=Flux2TransformerConfig.from_dict(read_json(transformer), str(transformer)),
        text_encoder=_read_text_encoder(folder / "text_encoder"),
        vae=_read_autoencoder(folder / "vae"),
        guidance=guidance_of(index),
        text_tokens=min(MAX_TEXT_TOKENS, trained_with),
        prepared=prepared_levels(folder),
    )


def _read_text_encoder(folder: Path) -> LanguageModelConfig:
    file = folder / "config.json"
    values = read_json(file)
    return find_text_encoder(values, str(file)).read_config(values, str(file))


def _read_autoencoder(folder: Path) -> AutoencoderConfig:
    file = folder / "config.json"
    return AutoencoderConfig.from_dict(read_json(file), str(file))
